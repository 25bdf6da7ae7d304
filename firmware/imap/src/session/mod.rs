//! One session.

use tokio::io::{AsyncRead, AsyncWrite};

use crate::{Context, Ended};

/// See [`crate::serve`].
pub(crate) async fn run<S>(stream: S, context: Context, greet: bool) -> Ended<S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    drop((stream, context, greet));
    Ended::Closed
}
