//! One fault of the box that serves, the other one whole; and the same fault of the box that stands by.

use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::operator::{Operator, active, count, epoch, greeting, send, whole_pair};
use crate::pulse::Pulse;
use lab::array::record;
use lab::kind::{Kind, Outcome};
use lab::parts::Which;
use lab::verify::writers;

/// Service is back within this time, or somebody must come.
const SERVICE_MAX: Duration = Duration::from_mins(1);
/// A fault that lasts does so for this time: longer than a takeover.
const HOLD: Duration = Duration::from_secs(7);

/// Does `kind` to the box that serves; what was accepted must be there, the pair must do what the
/// fault's outcome says and be whole again by itself.
fn strike(kind: Kind) {
    let pair = whole_pair();
    let subject = format!("before {kind}");
    send(&subject);
    let before = pair.status();
    let serving = active(&before).unwrap();
    let pulse = Pulse::start();
    pair.fault(Which::from(serving), kind);
    match kind.outcome() {
        Outcome::Moves | Outcome::HandsOver => {
            pair.wait(&format!("a takeover after {kind}"), SERVICE_MAX, |status| {
                (active(status) == Some(serving.other())).then_some(())
            });
            greeting(SERVICE_MAX);
        }
        Outcome::RestartsOnTheSpot | Outcome::Stays => {
            sleep(HOLD);
            greeting(SERVICE_MAX);
            assert_eq!(epoch(&pair.status()), epoch(&before), "{kind} is no reason to move");
        }
        Outcome::Serves => {
            sleep(HOLD);
            greeting(SERVICE_MAX);
        }
        Outcome::NeedsHealing => sleep(HOLD),
    }
    pair.heal();
    pair.wait_until_whole();
    let outage = pulse.stop();
    println!("{kind}: longest wait of a client {outage:?}");
    assert_eq!(count(&subject), 1, "the message accepted before {kind}");
    send(&format!("after {kind}"));
    never_two_writers(pair);
}

/// Does `kind` to the box that stands by: nothing moves, nobody waits for long.
fn strike_the_other(kind: Kind) {
    let pair = whole_pair();
    let before = pair.status();
    let pulse = Pulse::start();
    pair.fault(Which::from(active(&before).unwrap().other()), kind);
    let began = Instant::now();
    while began.elapsed() < HOLD {
        // The box that serves answers; the other one may not.
        assert_eq!(epoch(&pair.status()), epoch(&before), "{kind} at the standby moves nothing");
        sleep(Duration::from_millis(500));
    }
    pair.heal();
    pair.wait_until_whole();
    println!("{kind} at the standby: longest wait of a client {:?}", pulse.stop());
    never_two_writers(pair);
}

/// What the array itself has seen.
pub fn never_two_writers(pair: &Operator) {
    let entries = record::read(&pair.place().array_record()).unwrap();
    let report = writers::judge(&entries, 0);
    assert!(report.written.values().sum::<u64>() > 0, "the array has a record: {report:?}");
    assert_eq!(report.two_writers, 0, "{:#?}", report.told);
}

/// One story a line: its name, the fault, and to whom.
macro_rules! stories {
    ($($name:ident: $strike:ident($kind:ident);)*) => { $(
        #[test]
        fn $name() {
            $strike(Kind::$kind);
        }
    )* };
}

stories! {
    the_kernel_panics: strike(Panic);
    the_box_resets_again_and_again: strike(ResetLoop);
    the_clock_jumps_a_day_ahead_and_back: strike(ClockJump);
    the_box_comes_back_with_a_clock_a_day_ahead: strike(WrongClock);
    power_goes_in_the_middle_of_a_change_of_settings: strike(TornSettings);
    a_console_talks_on_the_heartbeat_line: strike(ConsoleSerial);
    the_heartbeat_line_works_one_way_only: strike(OneWaySerial);
    a_stranger_uses_the_virtual_address: strike(AddressTaken);
    the_adapter_is_gone: strike(LoseAdapter);
    the_path_stalls_and_delivers_late: strike(StallArray);
    answers_of_the_array_are_lost: strike(HalfOpenPath);
    the_path_is_slow: strike(SlowArray);
    the_lun_cannot_be_read: strike(UnreadableArray);
    the_path_is_write_protected: strike(ReadOnlyArray);
    the_lun_is_write_protected: strike(ReadOnlyLun);
    the_array_forgets_its_reservations: strike(ArrayForgets);
    the_slots_are_torn: strike(TornSlot);
    a_third_initiator_clears_the_reservation: strike(StrangerClears);
    a_third_initiator_steals_the_reservation: strike(StrangerSteals);
    the_system_disk_is_full: strike(FullSystem);
    the_settings_on_the_system_disk_are_damaged: strike(CorruptSystem);
    the_mail_service_runs_out_of_memory: strike(ExhaustMail);
    the_mail_service_answers_wrongly: strike(WrongMail);
    the_cluster_service_hangs: strike(HangCluster);
    the_cluster_service_runs_out_of_memory: strike(ExhaustCluster);
    the_panel_crashes: strike(KillPanel);
    the_panel_hangs: strike(HangPanel);
    the_panel_runs_out_of_memory: strike(ExhaustPanel);

    the_standby_panics: strike_the_other(Panic);
    the_standby_freezes: strike_the_other(Freeze);
    the_standby_resets_again_and_again: strike_the_other(ResetLoop);
    the_standby_loses_its_adapter: strike_the_other(LoseAdapter);
    the_standbys_path_stalls: strike_the_other(StallArray);
    the_standbys_answers_are_lost: strike_the_other(HalfOpenPath);
    the_standbys_system_disk_is_full: strike_the_other(FullSystem);
    the_standbys_public_cable_is_pulled: strike_the_other(CutPublic);
    the_standbys_cluster_service_hangs: strike_the_other(HangCluster);
}
