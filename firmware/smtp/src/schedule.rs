//! When outgoing mail is tried again, and when it is given up (RFC 5321 4.5.4.1).

/// Seconds to wait after the first, second, … try that a server put off; the last repeats.
const WAITS_S: [u64; 7] = [60, 300, 900, 1_800, 3_600, 7_200, 14_400];
/// Seconds to leave a destination alone after the first, second, … time that none of its servers
/// answered; the last repeats.
const HOST_WAITS_S: [u64; 7] = [60, 120, 300, 600, 1_200, 2_400, 3_600];
/// Given up so many seconds after it was accepted; RFC 5321 asks for four to five days.
pub const EXPIRE_S: u64 = 5 * 86_400;
/// The sender hears of the delay so many seconds after the message was accepted.
pub const DELAY_NOTICE_S: u64 = 4 * 3_600;

/// Seconds until the next try of a recipient after `attempts` failed ones.
///
/// `random` is any number; it spreads tries over a quarter more, so that messages that failed
/// together do not come back together.
pub fn wait_s(attempts: u32, random: u32) -> u64 {
    spread(&WAITS_S, attempts, random)
}

/// Seconds to leave a destination alone after `failures` tries in a row that reached no server of it.
pub fn host_wait_s(failures: u32, random: u32) -> u64 {
    spread(&HOST_WAITS_S, failures, random)
}

fn spread(waits_s: &[u64], times: u32, random: u32) -> u64 {
    let index = (times.max(1) as usize - 1).min(waits_s.len() - 1);
    let wait = waits_s.get(index).copied().unwrap_or(14_400);
    wait + u64::from(random) % (wait / 4 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_their_bound_and_are_spread() {
        for (wait_s, bound) in [(wait_s as fn(u32, u32) -> u64, 14_400), (host_wait_s, 3_600)] {
            let mut last = 0;
            for times in 0..100 {
                let wait = wait_s(times, 0);
                assert!(wait >= last);
                assert!(wait_s(times, u32::MAX) <= wait + wait / 4);
                last = wait;
            }
            assert_eq!((wait_s(1, 0), last), (60, bound));
            assert_ne!(wait_s(5, 1), wait_s(5, 2));
        }
    }
}
