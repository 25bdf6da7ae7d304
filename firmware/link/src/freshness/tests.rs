use super::*;
use proptest::prelude::*;

const KEY: [u8; 32] = [9; 32];

fn link(node: Node, start: u8) -> Link {
    Link::new(77, &KEY, node, &[start; 32])
}

fn heard(at: &mut Link, medium: Medium, frame: &Frame) -> Result<u32, Refusal> {
    at.open::<u32>(medium, frame).map(|heard| heard.payload)
}

/// Lets both ends speak in turn until each takes the other for live.
fn acquainted() -> (Link, Link) {
    let (mut a, mut b) = (link(Node::A, 1), link(Node::B, 2));
    for _ in 0..2 {
        let frame = a.seal(Medium::Serial, &0_u32).unwrap();
        let _ = heard(&mut b, Medium::Serial, &frame);
        let frame = b.seal(Medium::Serial, &0_u32).unwrap();
        let _ = heard(&mut a, Medium::Serial, &frame);
    }
    (a, b)
}

#[test]
fn two_boxes_take_each_other_for_live_after_one_round_trip() {
    let (mut a, mut b) = (link(Node::A, 1), link(Node::B, 2));
    let first = a.seal(Medium::Serial, &10_u32).unwrap();
    assert_eq!(heard(&mut b, Medium::Serial, &first), Err(Refusal::Unproven));
    let reply = b.seal(Medium::Serial, &20_u32).unwrap();
    assert_eq!(heard(&mut a, Medium::Serial, &reply), Ok(20));
    let next = a.seal(Medium::Serial, &11_u32).unwrap();
    assert_eq!(heard(&mut b, Medium::Serial, &next), Ok(11));
    let other_medium = a.seal(Medium::Private, &12_u32).unwrap();
    assert_eq!(heard(&mut b, Medium::Private, &other_medium), Ok(12));
}

#[test]
fn a_frame_counts_once_and_only_on_its_own_medium() {
    let (mut a, mut b) = acquainted();
    let frame = a.seal(Medium::Serial, &1_u32).unwrap();
    assert_eq!(heard(&mut b, Medium::Private, &frame), Err(Refusal::WrongMedium));
    assert_eq!(heard(&mut b, Medium::Serial, &frame), Ok(1));
    assert_eq!(heard(&mut b, Medium::Serial, &frame), Err(Refusal::Replayed));
    assert_eq!(b.counts(Medium::Serial).stale, 1);
}

#[test]
fn a_recording_never_passes_for_life_after_a_restart_of_either_box() {
    let (mut a, mut b) = acquainted();
    let recorded: Vec<Frame> = (0..9_u32).map(|n| a.seal(Medium::Serial, &n).unwrap()).collect();

    // Box a starts anew and is heard; then the recording of its former session is played.
    let mut restarted = link(Node::A, 3);
    let question = b.seal(Medium::Serial, &0_u32).unwrap();
    let _ = heard(&mut restarted, Medium::Serial, &question);
    let alive = restarted.seal(Medium::Serial, &5_u32).unwrap();
    assert!(b.open::<u32>(Medium::Serial, &alive).unwrap().new_session);
    for frame in &recorded {
        assert_eq!(heard(&mut b, Medium::Serial, frame), Err(Refusal::Unproven));
    }

    // Box b starts anew and hears nothing but the recordings.
    let mut b = link(Node::B, 4);
    for frame in recorded.iter().chain([&alive]) {
        assert_eq!(heard(&mut b, Medium::Serial, frame), Err(Refusal::Unproven));
    }
}

#[test]
fn a_slot_counts_only_when_it_has_changed() {
    let (mut a, mut b) = (link(Node::A, 1), link(Node::B, 2));
    let old = a.seal(Medium::Array, &1_u32).unwrap();
    assert_eq!(heard(&mut b, Medium::Array, &old), Err(Refusal::Unproven));
    assert_eq!(heard(&mut b, Medium::Array, &old), Err(Refusal::Unchanged));
    let new = a.seal(Medium::Array, &2_u32).unwrap();
    assert_eq!(heard(&mut b, Medium::Array, &new), Ok(2));
    assert_eq!(heard(&mut b, Medium::Array, &new), Err(Refusal::Unchanged));
    assert_eq!(heard(&mut b, Medium::Array, &old), Err(Refusal::Replayed));
    assert_eq!(b.counts(Medium::Array), Counts { good: 1, stale: 1, ..Counts::default() });
}

#[test]
fn each_wrong_sender_is_named() {
    let (mut a, mut b) = acquainted();
    let own = b.seal(Medium::Serial, &0_u32).unwrap();
    assert_eq!(heard(&mut b, Medium::Serial, &own), Err(Refusal::OwnVoice));

    let mut other_key = Link::new(77, &[8; 32], Node::A, &[1; 32]);
    let frame = other_key.seal(Medium::Serial, &0_u32).unwrap();
    assert_eq!(heard(&mut b, Medium::Serial, &frame), Err(Refusal::Authenticity));

    let mut other_pair = Link::new(78, &KEY, Node::A, &[1; 32]);
    let frame = other_pair.seal(Medium::Serial, &0_u32).unwrap();
    assert_eq!(heard(&mut b, Medium::Serial, &frame), Err(Refusal::OtherPair(78)));
    assert_eq!(b.counts(Medium::Serial).foreign, 2);

    let text = a.seal(Medium::Serial, &"not a number at all").unwrap();
    assert_eq!(heard(&mut b, Medium::Serial, &text), Err(Refusal::Payload));
}

#[test]
fn a_page_never_written_holds_no_frame() {
    assert_eq!(frame_in_page(&[0; 4096]), None);
    let (mut a, _) = acquainted();
    let frame = a.seal(Medium::Array, &1_u32).unwrap();
    let mut page = [0; 4096];
    page[..frame.len()].copy_from_slice(&frame);
    assert_eq!(frame_in_page(&page), Some(frame.as_slice()));
    assert_eq!(frame_in_page(&page[..20]), None);
}

#[test]
fn a_slot_is_read_as_a_record_of_its_owner_only() {
    let (mut a, b) = (link(Node::A, 1), link(Node::B, 2));
    let mut page = [0; 4096];
    let frame = a.seal(Medium::Array, &7_u32).unwrap();
    page[..frame.len()].copy_from_slice(&frame);
    for reader in [&a, &b] {
        assert_eq!(reader.read_slot::<u32>(Node::A, &page), Some(7));
        assert_eq!(reader.read_slot::<u32>(Node::B, &page), None);
    }
    let stranger = Link::new(77, &[8; 32], Node::B, &[2; 32]);
    assert_eq!(stranger.read_slot::<u32>(Node::A, &page), None);
    let frame = a.seal(Medium::Serial, &7_u32).unwrap();
    page[..frame.len()].copy_from_slice(&frame);
    assert_eq!(b.read_slot::<u32>(Node::A, &page), None);
}

#[test]
fn a_payload_that_does_not_fit_is_refused() {
    let (mut a, _) = acquainted();
    let long = "x".repeat(crate::PAYLOAD_MAX_BYTES);
    assert_eq!(a.seal(Medium::Serial, &long), Err(SealError::TooLong));
}

proptest! {
    #[test]
    fn no_flipped_bit_and_no_cut_passes(bit in 0_usize..600, cut in 0_usize..80) {
        let (mut a, mut b) = acquainted();
        let frame = a.seal(Medium::Serial, &123_456_u32).unwrap();
        let mut flipped = frame.clone();
        let bit = bit % (frame.len() * 8);
        flipped[bit / 8] ^= 1 << (bit % 8);
        prop_assert_eq!(heard(&mut b, Medium::Serial, &flipped), Err(Refusal::Checksum));
        let cut = frame.len().saturating_sub(1 + cut);
        prop_assert!(heard(&mut b, Medium::Serial, &Frame::from_slice(&frame[..cut]).unwrap()).is_err());
        prop_assert_eq!(heard(&mut b, Medium::Serial, &frame), Ok(123_456));
    }

    #[test]
    fn garbage_never_passes_and_never_panics(garbage in prop::collection::vec(any::<u8>(), 0..700)) {
        let (_, mut b) = acquainted();
        prop_assert!(b.open::<u32>(Medium::Serial, &garbage).is_err());
        let _ = frame_in_page(&garbage);
    }
}
