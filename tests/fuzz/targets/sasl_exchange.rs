//! SASL: no lines of a client make an exchange endless, and none that is not right is accepted.

#![no_main]

use std::num::NonZeroU32;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use sasl::{ChannelBinding, Claim, Context, Exchange, Offer, Step, Stored};

static STORED: LazyLock<Stored> =
    LazyLock::new(|| Stored::derive("secret-of-the-user", b"salt", NonZeroU32::new(16).expect("not zero")));

fuzz_target!(|input: &[u8]| {
    let mut lines = input.split(|byte| *byte == b'\n');
    let Some(Ok(name)) = lines.next().map(std::str::from_utf8) else { return };
    let binding = ChannelBinding { tls_exporter: Some([7; 32]), ..ChannelBinding::default() };
    let context = Context { binding, ..Context::default() };
    let Some(mechanism) = Offer::all(&context).find(name) else { return };
    let initial = lines.next().and_then(|line| std::str::from_utf8(line).ok());
    let (mut exchange, mut step) = Exchange::<()>::begin(mechanism, context, initial);
    for _ in 0..16 {
        step = match step {
            Step::Challenge(_) => match lines.next() {
                Some(line) => exchange.line(line),
                None => return,
            },
            Step::Lookup { .. } => exchange.stored(STORED.clone()),
            Step::Verify(Claim::Password { password, .. }) => {
                assert_ne!(password.as_str(), "secret-of-the-user", "a password out of nothing");
                return;
            }
            Step::Verify(Claim::Proof { pair, .. }) => {
                assert!(pair.is_none(), "a proof without the password");
                return;
            }
            Step::Done(()) => panic!("nobody was accepted"),
            Step::Failed(_) => return,
        };
    }
    panic!("an exchange without an end");
});
