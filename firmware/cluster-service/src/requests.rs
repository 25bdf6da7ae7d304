//! The control socket: one line in, one line out, answered by the decision loop.

use std::fs;
use std::io::{self, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use control::cluster::{Reply, Request};
use control::wire;
use crossbeam_channel::{Sender, bounded};
use tracing::warn;

/// Most callers served at once; more are turned away.
const CALLERS_MAX: usize = 16;
/// Longest silence of a caller.
const CALLER_WAIT: Duration = Duration::from_secs(5);
/// Longest wait for the decision loop's answer.
const ANSWER_WAIT: Duration = Duration::from_secs(5);

/// A request with the place its answer goes.
#[derive(Debug)]
pub struct Asked {
    /// What is asked.
    pub request: Request,
    /// Where the answer goes; one only.
    pub answer: Sender<Reply>,
}

/// Listens on `socket`; everything asked goes through `asked`.
pub fn listen<T: Send + 'static>(
    socket: &Path,
    inputs: Sender<T>,
    wrap: impl Fn(Asked) -> T + Send + Sync + 'static,
) -> io::Result<()> {
    let _ = fs::remove_file(socket);
    let listener = UnixListener::bind(socket)?;
    fs::set_permissions(socket, fs::Permissions::from_mode(0o600))?;
    let wrap = Arc::new(wrap);
    let callers = Arc::new(AtomicUsize::new(0));
    thread::Builder::new().name("requests".to_owned()).spawn(move || {
        for stream in listener.incoming().flatten() {
            if callers.fetch_add(1, Ordering::AcqRel) >= CALLERS_MAX {
                callers.fetch_sub(1, Ordering::AcqRel);
                warn!("more than {CALLERS_MAX} callers on the control socket; one was turned away");
                continue;
            }
            let (inputs, wrap, callers_now) = (inputs.clone(), wrap.clone(), callers.clone());
            let served = thread::Builder::new().name("request".to_owned()).spawn(move || {
                if let Err(error) = serve(&stream, &inputs, &*wrap) {
                    warn!("a caller on the control socket: {error}");
                }
                callers_now.fetch_sub(1, Ordering::AcqRel);
            });
            if served.is_err() {
                callers.fetch_sub(1, Ordering::AcqRel);
            }
        }
    })?;
    Ok(())
}

fn serve<T>(
    mut stream: &UnixStream,
    inputs: &Sender<T>,
    wrap: &impl Fn(Asked) -> T,
) -> Result<(), wire::WireError> {
    stream.set_read_timeout(Some(CALLER_WAIT))?;
    stream.set_write_timeout(Some(CALLER_WAIT))?;
    let request = match wire::read_line(&mut BufReader::new(stream)) {
        Ok(request) => request,
        Err(wire::WireError::Malformed(error)) => {
            let reply = Reply::Refused(format!("the request is not understood: {error}"));
            return wire::write_line(&mut stream, &reply);
        }
        Err(error) => return Err(error),
    };
    let (answer, answered) = bounded(1);
    let handed_in = inputs.send_timeout(wrap(Asked { request, answer }), ANSWER_WAIT).is_ok();
    let reply = if handed_in { answered.recv_timeout(ANSWER_WAIT).ok() } else { None };
    let late = || Reply::Refused("the cluster service is busy; try again in a few seconds".to_owned());
    wire::write_line(&mut stream, &reply.unwrap_or_else(late))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    fn scene() -> (tempfile::TempDir, std::path::PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("cluster.sock");
        let (inputs, asked) = bounded::<Asked>(4);
        listen(&socket, inputs, |asked| asked).unwrap();
        thread::spawn(move || {
            for asked in asked {
                let _ = asked.answer.send(Reply::Refused(format!("{:?}", asked.request)));
            }
        });
        (dir, socket)
    }

    #[test]
    fn a_request_is_answered() {
        let (_dir, socket) = scene();
        let reply: Reply = wire::call(&socket, &Request::Status, CALLER_WAIT).unwrap();
        assert_eq!(reply, Reply::Refused("Status".to_owned()));
    }

    #[test]
    fn nonsense_is_refused_and_the_next_caller_served() {
        let (_dir, socket) = scene();
        let mut stream = UnixStream::connect(&socket).unwrap();
        stream.write_all(b"{\"fly\":1}\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        assert!(text.contains("not understood"), "{text}");
        let reply: Reply = wire::call(&socket, &Request::Status, CALLER_WAIT).unwrap();
        assert_eq!(reply, Reply::Refused("Status".to_owned()));
    }
}
