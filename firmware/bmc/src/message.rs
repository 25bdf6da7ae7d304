//! Messages to the controller and back (13.8, IPMI LAN message format).

/// Address of the controller, and of remote console software (5.5, 13.8).
const CONTROLLER: u8 = 0x20;
const CONSOLE: u8 = 0x81;
/// Shortest answer: header, completion code, checksum.
const ANSWER_MIN_BYTES: usize = 8;

/// Network function of a request (5.1).
pub const CHASSIS: u8 = 0x00;
pub const APPLICATION: u8 = 0x06;

/// Whether a box has power.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Power {
    /// It has.
    On,
    /// It has not.
    Off,
}

/// What a controller answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Network function, one more than the request's.
    pub function: u8,
    /// Number of the request.
    pub sequence: u8,
    /// The command it answers.
    pub command: u8,
    /// 0 is success (5.2).
    pub completion: u8,
    /// What follows.
    pub data: Vec<u8>,
}

/// A request with its checksums.
pub fn request(function: u8, command: u8, sequence: u8, data: &[u8]) -> Vec<u8> {
    let head = [CONTROLLER, function << 2];
    let mut message = vec![head[0], head[1], checksum(&head)];
    let body = message.len();
    message.extend([CONSOLE, (sequence & 0x3f) << 2, command]);
    message.extend(data);
    message.push(checksum(message.get(body..).unwrap_or_default()));
    message
}

/// Reads an answer; none if it is not one, or a checksum is wrong.
pub fn answer(message: &[u8]) -> Option<Answer> {
    if message.len() < ANSWER_MIN_BYTES {
        return None;
    }
    let (head, body) = message.split_at_checked(3)?;
    let (&[to, function, _], &[from, sequence, command, completion, ref data @ .., _]) = (head, body) else {
        return None;
    };
    let whole = sum(head) == 0 && sum(body) == 0;
    let ours = to == CONSOLE && from == CONTROLLER;
    (whole && ours).then(|| Answer {
        function: function >> 2,
        sequence: sequence >> 2,
        command,
        completion,
        data: data.to_vec(),
    })
}

/// What makes the sum of all bytes zero (13.8).
fn checksum(bytes: &[u8]) -> u8 {
    sum(bytes).wrapping_neg()
}

fn sum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum: u8, byte| sum.wrapping_add(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_the_bytes_that_other_consoles_send() {
        // Get Channel Authentication Capabilities for Administrator, as ipmitool asks.
        let bytes = request(APPLICATION, 0x38, 0, &[0x8e, 0x04]);
        assert_eq!(bytes, [0x20, 0x18, 0xc8, 0x81, 0x00, 0x38, 0x8e, 0x04, 0xb5]);
    }

    #[test]
    fn an_answer_with_a_wrong_checksum_is_none() {
        let mut good = vec![0x81, 0x04, 0x7b, 0x20, 0x08, 0x01, 0x00, 0x21];
        good.push(checksum(&good[3..]));
        let read = answer(&good).unwrap();
        assert_eq!((read.function, read.sequence, read.command, read.completion), (1, 2, 1, 0));
        assert_eq!(read.data, [0x21]);
        for index in 0..good.len() {
            let mut bad = good.clone();
            bad[index] ^= 0x10;
            assert_eq!(answer(&bad), None);
        }
        assert_eq!(answer(&good[..7]), None);
    }
}
