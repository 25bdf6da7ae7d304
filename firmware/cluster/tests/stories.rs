//! Short stories of one box: what goes in, what comes out. The simulator tells the long ones.

use cluster::{
    Ability, Action, Beat, Command, Config, ConfigError, Core, Event, HandOver, Holder, Key, Medium, Node,
    Order, Preference, Reading, Refusal, ReservationType, Role, Step, Time,
};

const PAIR: u32 = 7;

fn config() -> Config {
    Config {
        node: Node::A,
        pair_id: PAIR,
        group: 0,
        boot: 1,
        beat_ms: 200,
        lease_ms: 1_500,
        watchdog_ms: 2_000,
        dead_time_ms: 2_400,
        preference: Preference::default(),
        maintenance: false,
    }
}

/// Box a, with an array that answers at once.
struct Scene {
    core: Core,
    now: u64,
    holder: Option<u64>,
    /// Registrations beside the holder's.
    registered: Vec<u64>,
    array_answers: bool,
    beats: u32,
    /// Everything the core wanted since the last look, readings and beats apart.
    wanted: Vec<Action>,
}

impl Scene {
    fn new() -> Self {
        let core = Core::new(config(), Time(1_000)).expect("the timings keep the rule");
        Self {
            core,
            now: 1_000,
            holder: None,
            registered: Vec::new(),
            array_answers: true,
            beats: 0,
            wanted: Vec::new(),
        }
    }

    fn tell(&mut self, event: Event) {
        let mut actions = Vec::new();
        self.core.handle(Time(self.now), event, &mut actions);
        for action in actions {
            self.answer(action);
        }
    }

    fn answer(&mut self, action: Action) {
        match action {
            Action::Read { number } if self.array_answers => {
                let kind = ReservationType::WriteExclusiveRegistrantsOnly;
                let holder = self.holder.map(|key| Holder { key, kind });
                let keys = self.holder.iter().chain(&self.registered).copied().collect();
                let reading = Reading { started: Time(self.now), keys, holder };
                self.tell(Event::Read { number, reading: Some(reading) });
            }
            Action::Read { .. } | Action::Beat { .. } | Action::Prove(_) | Action::Record(_) => {}
            Action::Run { run, order, .. } => {
                self.wanted.push(action);
                match order {
                    Order::Fence { key, .. } | Order::Repair { key } => self.holder = Some(key.encode()),
                    Order::Unreserve { release: true, .. } => self.holder = None,
                    _ => {}
                }
                self.tell(Event::Done { run, result: Ok(()) });
            }
            other => self.wanted.push(other),
        }
    }

    /// Time passes, with the slots read as long as the array answers.
    fn pass(&mut self, ms: u64) {
        let end = self.now + ms;
        while self.now < end {
            self.now += 100;
            if self.array_answers {
                self.tell(Event::SlotsRead { started: Time(self.now), own: None, peer: None });
            }
            self.tell(Event::Tick);
        }
    }

    fn hear(&mut self, role: Role, ability: Ability, hand_over: HandOver, claim: u32) {
        let beat = self.beat(role, ability, hand_over, claim);
        self.tell(Event::Heard { medium: Medium::Serial, beat });
    }

    /// The next beat of the other box.
    fn beat(&mut self, role: Role, ability: Ability, hand_over: HandOver, claim: u32) -> Beat {
        self.beats += 1;
        Beat {
            group: 0,
            node: Node::B,
            boot: 99,
            seq: self.beats,
            epoch: claim,
            claim,
            role,
            ability,
            hand_over,
            public_up: true,
            preference: Preference::default(),
        }
    }

    /// A box that came up alone and serves.
    fn serving() -> Self {
        let mut scene = Self::new();
        scene.pass(4_000);
        assert_eq!(scene.core.role(), Role::Active);
        scene.wanted.clear();
        scene
    }

    fn steps(&self) -> Vec<Step> {
        let step =
            |action: &Action| if let Action::Run { order, .. } = action { Some(order.step()) } else { None };
        self.wanted.iter().filter_map(step).collect()
    }

    fn wants(&self, what: fn(&Action) -> bool) -> bool {
        self.wanted.iter().any(what)
    }

    fn command(&mut self, command: Command) -> Result<(), Refusal> {
        self.tell(Event::Command { id: 5, command });
        let answer =
            |action: &Action| if let Action::Answer { result, .. } = action { Some(*result) } else { None };
        self.wanted.iter().rev().find_map(answer).expect("every command is answered at once")
    }
}

#[test]
fn a_box_alone_waits_the_dead_time_and_takes_step_by_step() {
    let mut scene = Scene::new();
    scene.pass(2_300);
    assert_eq!(scene.core.role(), Role::Starting);
    assert!(scene.steps().is_empty());
    scene.pass(400);
    assert_eq!(scene.core.role(), Role::Active);
    assert_eq!(scene.steps(), [Step::Fence, Step::Mount, Step::Recover, Step::Serve, Step::Announce]);
    let phases = scene.core.view().last_takeover.unwrap().phases;
    assert_eq!(phases[1].step, Step::Prove, "the proof is a phase of its own");
}

#[test]
fn an_owner_whose_proof_lapses_holds_still_and_goes_on_when_it_is_renewed() {
    let mut scene = Scene::serving();
    scene.array_answers = false;
    scene.pass(1_300);
    assert!(!scene.wants(|a| *a == Action::Suspend));
    scene.pass(300);
    assert!(scene.wants(|a| *a == Action::Suspend));
    scene.array_answers = true;
    // The reading under way is lost; the core asks again by itself.
    scene.pass(5_000);
    assert!(scene.wants(|a| *a == Action::Resume));
    assert_eq!(scene.core.role(), Role::Active);
}

#[test]
fn an_owner_that_never_gets_its_proof_back_resets() {
    let mut scene = Scene::serving();
    scene.array_answers = false;
    scene.pass(12_000);
    assert_eq!(scene.core.role(), Role::Fenced);
    assert!(scene.wants(|a| matches!(a, Action::Reset { .. })));
    assert!(scene.steps().is_empty(), "nothing is flushed or unmounted on the way");
}

#[test]
fn a_thawed_owner_stops_before_anything_else_and_resets_when_it_reads_who_holds() {
    let mut scene = Scene::serving();
    scene.holder = Some(Key::new(Node::B, PAIR, 9).encode());
    scene.now += 30_000;
    scene.tell(Event::Tick);
    assert_eq!(scene.wanted.first(), Some(&Action::Suspend));
    assert!(scene.wants(|a| matches!(a, Action::Reset { .. })));
    assert!(scene.steps().is_empty());
}

#[test]
fn a_standby_that_stood_still_reads_the_array_before_it_believes_what_waited_for_it() {
    let mut scene = Scene::new();
    scene.hear(Role::Active, Ability::Ready, HandOver::None, 4);
    scene.holder = Some(Key::new(Node::B, PAIR, 4).encode());
    scene.pass(500);
    assert_eq!(scene.core.role(), Role::Standby);
    // Meanwhile the other box ends its ownership, has another one, and ends that.
    (scene.now, scene.holder, scene.array_answers) = (scene.now + 3_000, None, false);
    scene.hear(Role::Standby, Ability::Ready, HandOver::Granted, 4);
    assert_eq!(scene.core.role(), Role::Standby);
    scene.array_answers = true;
    let slot = scene.beat(Role::Standby, Ability::Ready, HandOver::None, 5);
    scene.tell(Event::SlotsRead { started: Time(scene.now), own: None, peer: Some(slot) });
    scene.pass(6_000);
    assert_eq!((scene.core.role(), scene.core.view().epoch), (Role::Active, 6));
}

#[test]
fn an_owner_challenged_by_a_later_epoch_holds_still_until_a_new_reading_proves_it_right() {
    let mut scene = Scene::serving();
    scene.array_answers = false;
    scene.pass(600);
    scene.hear(Role::Taking, Ability::Ready, HandOver::None, 40);
    assert_eq!(scene.wanted.first(), Some(&Action::Suspend));
    scene.array_answers = true;
    scene.pass(6_000);
    assert!(scene.wants(|a| *a == Action::Resume));
    assert_eq!(scene.core.role(), Role::Active, "the reservation decides, not the claim");
}

#[test]
fn a_refused_write_is_the_end_without_flushing() {
    let mut scene = Scene::serving();
    scene.tell(Event::WriteFenced);
    assert_eq!(scene.core.role(), Role::Fenced);
    assert!(scene.wants(|a| matches!(a, Action::Reset { .. })));
    assert!(scene.steps().is_empty());
}

#[test]
fn a_switch_over_releases_in_reverse_order_and_leaves_the_group_to_the_other_box() {
    let mut scene = Scene::serving();
    assert_eq!(scene.command(Command::SwitchOver { to: Node::B }), Err(Refusal::PeerNotHeard));
    scene.hear(Role::Standby, Ability::MailFailed, HandOver::None, 0);
    let refused = Err(Refusal::PeerNotReady(Ability::MailFailed));
    assert_eq!(scene.command(Command::SwitchOver { to: Node::B }), refused);
    scene.hear(Role::Standby, Ability::Ready, HandOver::None, 0);
    assert_eq!(scene.command(Command::SwitchOver { to: Node::B }), Ok(()));
    assert_eq!(scene.steps(), [Step::Halt, Step::Withdraw, Step::Unmount, Step::Unreserve]);
    assert_eq!(scene.holder, None);
    scene.wanted.clear();
    for _ in 0..20 {
        scene.hear(Role::Standby, Ability::Ready, HandOver::None, 0);
        scene.pass(200);
    }
    assert_eq!(scene.core.role(), Role::Standby);
    assert!(scene.steps().is_empty(), "it does not take back what it has just given");
}

#[test]
fn a_group_that_is_on_its_way_is_not_told_as_nobodys() {
    for to in [Node::A, Node::B] {
        let mut scene = Scene::new();
        // Otherwise it would take what nobody has.
        assert_eq!(scene.command(Command::Maintenance { on: true }), Ok(()));
        for role in [Role::Taking, Role::Releasing] {
            scene.hear(role, Ability::Ready, HandOver::None, 9);
            assert_eq!(scene.command(Command::SwitchOver { to }), Err(Refusal::Busy), "{role}");
        }
        scene.hear(Role::Undecided, Ability::Unknown, HandOver::None, 0);
        assert_eq!(scene.command(Command::SwitchOver { to }), Err(Refusal::NoOwner));
    }
}

#[test]
fn a_box_that_goes_down_beside_a_silent_one_keeps_the_reservation() {
    let mut scene = Scene::serving();
    assert_eq!(scene.command(Command::Stop), Ok(()));
    assert_eq!(scene.steps(), [Step::Halt, Step::Withdraw, Step::Unmount, Step::Unreserve]);
    assert!(scene.holder.is_some(), "the silent box may stand still with the LUN mounted");
}

#[test]
fn a_box_in_maintenance_takes_nothing() {
    let mut scene = Scene::new();
    assert_eq!(scene.command(Command::Maintenance { on: true }), Ok(()));
    scene.pass(60_000);
    assert!(scene.steps().is_empty());
    assert_eq!(scene.command(Command::Maintenance { on: false }), Ok(()));
    scene.pass(500);
    assert_eq!(scene.core.role(), Role::Active);
}

#[test]
fn a_mail_service_that_fails_is_restarted_then_handed_over_and_does_not_come_back() {
    let mut scene = Scene::serving();
    for _ in 0..9 {
        scene.hear(Role::Standby, Ability::Ready, HandOver::None, 0);
        scene.tell(Event::MailProbe { well: false });
    }
    let restarts = scene.steps().iter().filter(|step| **step == Step::RestartMail).count();
    assert_eq!(restarts, 2);
    assert_eq!(scene.core.role(), Role::Standby);
    assert_eq!(scene.core.ability(), Ability::MailFailed, "the other box does not hand it back for a while");
}

#[test]
fn a_mail_service_that_init_has_given_up_moves_at_once() {
    let mut scene = Scene::serving();
    scene.hear(Role::Standby, Ability::Ready, HandOver::None, 0);
    scene.tell(Event::MailIll { why: "it ended three times".to_owned(), given_up: true });
    assert!(!scene.steps().contains(&Step::RestartMail), "its restarts on the spot are used up");
    assert_eq!(scene.core.role(), Role::Standby);
}

#[test]
fn a_mail_service_that_is_ill_is_restarted_at_once() {
    let mut scene = Scene::serving();
    scene.tell(Event::MailIll { why: "it does nothing".to_owned(), given_up: false });
    assert_eq!(scene.steps(), [Step::RestartMail]);
    assert_eq!(scene.core.role(), Role::Active);
}

#[test]
fn a_group_that_fails_on_both_boxes_stays_until_the_operator_says_so() {
    let mut scene = Scene::serving();
    let fail = |scene: &mut Scene| {
        scene.hear(Role::Standby, Ability::MailFailed, HandOver::None, 0);
        scene.tell(Event::MailIll { why: "it does nothing".to_owned(), given_up: true });
    };
    for _ in 0..600 {
        fail(&mut scene);
        scene.pass(1_000);
    }
    assert_eq!(scene.core.role(), Role::Active, "it stays where it can be examined");
    assert!(scene.core.fails_everywhere());
    let afresh = scene.steps().iter().filter(|step| **step == Step::Mount).count();
    assert!((1..10).contains(&afresh), "mounted afresh {afresh} times in ten minutes");
    scene.wanted.clear();
    assert_eq!(scene.command(Command::SwitchOver { to: Node::A }), Ok(()));
    assert_eq!(scene.steps(), [Step::RestartMail]);
    scene.tell(Event::MailProbe { well: true });
    assert!(!scene.core.fails_everywhere());
    assert_eq!(scene.core.ability(), Ability::Ready);
}

#[test]
fn timings_that_break_the_rule_are_refused() {
    let lease_too_long = Config { lease_ms: 2_000, ..config() };
    assert!(matches!(Core::new(lease_too_long, Time(0)), Err(ConfigError::TimingRule { .. })));
    let watchdog_too_slow = Config { watchdog_ms: 2_401, ..config() };
    assert!(matches!(Core::new(watchdog_too_slow, Time(0)), Err(ConfigError::TimingRule { .. })));
    let beat_too_slow = Config { beat_ms: 700, ..config() };
    assert!(matches!(Core::new(beat_too_slow, Time(0)), Err(ConfigError::BeatTooSlow { .. })));
}

/// Whether the owner makes a reservation again that is gone, and whether it resets.
fn after_the_array_forgets(scene: &mut Scene) -> (bool, bool) {
    scene.holder = None;
    scene.pass(1_000);
    repaired_or_reset(scene)
}

fn repaired_or_reset(scene: &Scene) -> (bool, bool) {
    let repairs = |a: &Action| matches!(a, Action::Run { order: Order::Repair { .. }, .. });
    (scene.wants(repairs), scene.wants(|a| matches!(a, Action::Reset { .. })))
}

#[test]
fn a_reservation_the_array_forgot_is_made_again_on_the_spot() {
    let mut scene = Scene::serving();
    assert_eq!(after_the_array_forgets(&mut scene), (true, false));
    assert_eq!(scene.core.role(), Role::Active);
    assert!(!scene.wants(|a| *a == Action::Suspend), "its proof was good all the time");
    scene.pass(5_000);
    assert_eq!(scene.steps(), [Step::Fence], "once is enough");
}

#[test]
fn a_forgotten_reservation_is_left_to_whoever_claims_it_or_has_registered() {
    let mut scene = Scene::serving();
    scene.hear(Role::Taking, Ability::Ready, HandOver::None, 0);
    assert_eq!(after_the_array_forgets(&mut scene), (false, true));

    let mut scene = Scene::serving();
    scene.registered = vec![Key::new(Node::B, PAIR, 9).encode()];
    assert_eq!(after_the_array_forgets(&mut scene), (false, true));
}

#[test]
fn an_array_that_starts_anew_finds_its_owner_again_if_the_standby_vouches_for_it() {
    for (vouches, expected) in [(true, (true, false)), (false, (false, true))] {
        let mut scene = Scene::serving();
        scene.array_answers = false;
        scene.pass(3_000);
        assert!(scene.wants(|a| *a == Action::Suspend));
        scene.array_answers = true;
        scene.holder = None;
        // The reading under way is given up by its age, and another one is made.
        for _ in 0..3 {
            if vouches {
                scene.hear(Role::Standby, Ability::ArrayLost, HandOver::None, 0);
            }
            scene.pass(1_000);
        }
        assert_eq!(repaired_or_reset(&scene), expected, "vouched for: {vouches}");
        assert_eq!(scene.wants(|a| *a == Action::Resume), vouches);
    }
}
