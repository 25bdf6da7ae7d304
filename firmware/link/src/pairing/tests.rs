use super::*;
use proptest::prelude::*;

/// A host and a joiner on a line that loses the frames named in `lost`.
struct Line {
    host: Host,
    joiner: Joiner,
    now_ms: u64,
    sent: u64,
    lost: fn(u64) -> bool,
    spy: std::vec::Vec<u8>,
    host_events: std::vec::Vec<HostEvent>,
    joiner_events: std::vec::Vec<JoinerEvent>,
}

impl Line {
    fn new(lost: fn(u64) -> bool) -> Self {
        Self {
            host: Host::new(b"first box").unwrap(),
            joiner: Joiner::default(),
            now_ms: 0,
            sent: 0,
            lost,
            spy: vec![],
            host_events: vec![],
            joiner_events: vec![],
        }
    }

    fn carry(&mut self, message: &Message) -> Option<Message> {
        let frame = seal(message).unwrap();
        self.spy.extend_from_slice(&frame);
        self.sent += 1;
        if (self.lost)(self.sent) { None } else { open(&frame) }
    }

    /// Runs both sides for a while, answering as the service would.
    fn run(&mut self, for_ms: u64, parcel: &[u8]) {
        let end_ms = self.now_ms + for_ms;
        while self.now_ms < end_ms {
            self.now_ms += 50;
            self.step(parcel);
        }
    }

    fn step(&mut self, parcel: &[u8]) {
        match self.host.poll(self.now_ms) {
            Ok(Some(message)) => {
                if let Some(message) = self.carry(&message)
                    && let Some(event) = self.joiner.hear(&message, self.now_ms)
                {
                    if matches!(event, JoinerEvent::Received { .. }) {
                        self.joiner.saved().unwrap();
                    }
                    self.joiner_events.push(event);
                }
            }
            Ok(None) => {}
            Err(error) => self.host_events.push(HostEvent::Failed(error)),
        }
        match self.joiner.poll(self.now_ms) {
            Ok(Some(message)) => {
                if let Some(message) = self.carry(&message)
                    && let Some(event) = self.host.hear(&message)
                {
                    match &event {
                        HostEvent::Asked { .. } => self.host.accept(parcel).unwrap(),
                        HostEvent::Saved => self.host.finish(),
                        HostEvent::Failed(_) => {}
                    }
                    self.host_events.push(event);
                }
            }
            Ok(None) => {}
            Err(error) => self.joiner_events.push(JoinerEvent::Failed(error)),
        }
    }

    fn pair(&mut self, parcel: &[u8]) {
        self.run(3_000, parcel);
        assert_eq!(self.joiner.offer(self.now_ms), Some(b"first box".as_slice()));
        self.joiner.join(b"second box", self.now_ms).unwrap();
        self.run(120_000, parcel);
        let expected = [HostEvent::Asked { about: b"second box".to_vec() }, HostEvent::Saved];
        assert_eq!(self.host_events, expected);
        let expected = [JoinerEvent::Received { parcel: parcel.to_vec() }, JoinerEvent::Finished];
        assert_eq!(self.joiner_events, expected);
    }
}

#[test]
fn the_second_box_gets_the_settings_and_a_listener_does_not() {
    let parcel = b"the pair's key and all the rest. ".repeat(100);
    let mut line = Line::new(|_| false);
    line.pair(&parcel);
    assert!(!line.spy.windows(16).any(|window| window == &parcel[..16]));
    assert!(!line.spy.windows(10).any(|window| window == b"second box"));
}

#[test]
fn a_line_that_loses_every_third_frame_only_takes_longer() {
    Line::new(|n| n.is_multiple_of(3)).pair(&vec![0x5A; PARCEL_MAX_BYTES]);
}

#[test]
fn an_exchange_that_goes_silent_is_given_up_on_both_sides() {
    let mut line = Line::new(|n| n > 6);
    line.run(3_000, b"settings");
    line.joiner.join(b"second box", line.now_ms).unwrap();
    line.run(60_000, &[1; 5_000]);
    assert_eq!(line.host_events.last(), Some(&HostEvent::Failed(PairingError::Silent)));
    assert_eq!(line.joiner_events.last(), Some(&JoinerEvent::Failed(PairingError::Silent)));
    assert_eq!(line.joiner.offer(line.now_ms), None);
    assert_eq!(line.joiner.join(b"x", line.now_ms), Err(PairingError::NoOffer));
}

#[test]
fn a_beat_of_the_new_box_stands_for_its_lost_last_word() {
    let mut line = Line::new(|_| false);
    line.run(2_000, b"");
    line.joiner.join(b"second box", line.now_ms).unwrap();
    let join = line.joiner.poll(line.now_ms).unwrap().unwrap();
    assert_eq!(line.host.heard_beat(), None);
    assert!(matches!(line.host.hear(&join), Some(HostEvent::Asked { .. })));
    assert_eq!(line.host.heard_beat(), None);
    line.host.accept(b"settings").unwrap();
    assert_eq!(line.host.heard_beat(), Some(HostEvent::Saved));
}

#[test]
fn a_box_turned_away_says_why_and_may_ask_again() {
    let mut line = Line::new(|_| false);
    line.run(2_000, b"");
    line.joiner.join(b"second box", line.now_ms).unwrap();
    let join = line.joiner.poll(line.now_ms).unwrap().unwrap();
    assert!(matches!(line.host.hear(&join), Some(HostEvent::Asked { .. })));
    let refusal = line.host.refuse("this name is taken").unwrap();
    let event = line.joiner.hear(&refusal, line.now_ms);
    let error = PairingError::Refused("this name is taken".to_owned());
    assert_eq!(event, Some(JoinerEvent::Failed(error)));
    line.pair(b"settings");
}

#[test]
fn a_join_that_was_tampered_with_is_refused() {
    let mut line = Line::new(|_| false);
    line.run(2_000, b"");
    line.joiner.join(b"second box", line.now_ms).unwrap();
    let Ok(Some(Message::Join { offer, key, mut sealed })) = line.joiner.poll(line.now_ms) else {
        panic!("no join");
    };
    sealed[0] ^= 1;
    let event = line.host.hear(&Message::Join { offer, key, sealed });
    assert_eq!(event, Some(HostEvent::Failed(PairingError::BrokenSeal)));
}

proptest! {
    #[test]
    fn garbage_is_never_a_message(garbage in prop::collection::vec(any::<u8>(), 0..700)) {
        prop_assert_eq!(open(&garbage), None);
    }
}
