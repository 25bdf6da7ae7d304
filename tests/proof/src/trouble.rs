//! What may go wrong, and what an operator may want.

use cluster::{Command, Node};

use crate::pair::{FOR_EVER, Pair, STOP_COMMAND};

/// One trouble. Times are turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Trouble {
    /// Box, for so long.
    Crash(usize, u64),
    /// Box, for so long, its clock too.
    Freeze(usize, u64),
    /// Box, for so long; its clock goes on. One turn is a loop that comes late.
    Starve(usize, u64),
    /// Serial, private or both, for so long. One turn is a lost beat.
    Cut([bool; 2], u64),
    /// Box, for so long, whether commands fail or hang.
    Path(usize, u64, bool),
    /// Away from a box.
    SwitchOver(usize),
    /// The box is taken out of service.
    Maintenance(usize),
    /// The box is switched off in order, for so long.
    PowerOff(usize, u64),
}

impl Trouble {
    /// Everything: the menu of the large bound.
    pub fn all() -> Vec<Self> {
        let mut all =
            vec![Self::Cut([true, true], 1), Self::Cut([true, true], 8), Self::Cut([true, true], FOR_EVER)];
        for cable in [[true, false], [false, true]] {
            all.extend([Self::Cut(cable, 8), Self::Cut(cable, FOR_EVER)]);
        }
        for node in 0..2 {
            all.extend([Self::Crash(node, 12), Self::Crash(node, FOR_EVER)]);
            all.extend([Self::Freeze(node, 5), Self::Freeze(node, 25)]);
            all.extend([Self::Starve(node, 1), Self::Starve(node, 3), Self::Starve(node, 12)]);
            for fails in [true, false] {
                all.extend([2, 8, 35, FOR_EVER].map(|turns| Self::Path(node, turns, fails)));
            }
            all.extend([Self::SwitchOver(node), Self::Maintenance(node)]);
            all.extend([Self::PowerOff(node, 15), Self::PowerOff(node, FOR_EVER)]);
        }
        all
    }

    /// The menu where two come together within the small bound.
    pub fn few() -> Vec<Self> {
        let mut few = vec![Self::Cut([true, true], 8)];
        for node in 0..2 {
            few.extend([Self::Crash(node, 12), Self::Freeze(node, 25), Self::Path(node, 8, false)]);
            few.push(Self::SwitchOver(node));
        }
        few
    }

    /// Does it. False if it cannot be now.
    pub(crate) fn strike(self, pair: &mut Pair) -> bool {
        let until = |turns: u64| pair.turn.saturating_add(turns);
        let on = |node: usize| pair.boxes[node].off_until.is_none();
        let awake = |node: usize| on(node) && pair.boxes[node].still_until.is_none();
        match self {
            Self::Crash(node, turns) if on(node) => pair.power_off(node, until(turns)),
            Self::Freeze(node, turns) if awake(node) => {
                pair.boxes[node].still_until = Some(until(turns));
                pair.boxes[node].clock_stops = true;
            }
            Self::Starve(node, turns) if awake(node) => {
                pair.boxes[node].still_until = Some(until(turns));
                pair.boxes[node].clock_stops = false;
            }
            Self::Cut(cables, turns) => {
                let end = until(turns);
                for (cut, _) in pair.cut.iter_mut().zip(cables).filter(|(_, hit)| *hit) {
                    *cut = end.max(*cut);
                }
            }
            Self::Path(node, turns, fails) => pair.boxes[node].path = (until(turns), fails),
            Self::SwitchOver(node) if awake(node) => {
                let to = if node == 0 { Node::B } else { Node::A };
                pair.command(node, 1, Command::SwitchOver { to });
            }
            Self::Maintenance(node) if awake(node) => {
                pair.command(node, 1, Command::Maintenance { on: true });
            }
            Self::PowerOff(node, turns) if awake(node) => {
                pair.boxes[node].stopping = Some(turns);
                pair.command(node, STOP_COMMAND, Command::Stop);
            }
            _ => return false,
        }
        true
    }
}
