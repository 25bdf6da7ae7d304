//! The packet LCD: what it shows, and how that gets there.

pub mod driver;
pub mod packet;
pub mod pages;

/// One of the four lamps beside the glass; both colours together are amber.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lamp {
    /// Green is on.
    pub green: bool,
    /// Red is on.
    pub red: bool,
}

impl Lamp {
    /// Dark.
    pub const OFF: Self = Self { green: false, red: false };
    /// All is well.
    pub const GREEN: Self = Self { green: true, red: false };
    /// Look here when there is time.
    pub const AMBER: Self = Self { green: true, red: true };
    /// Something is broken.
    pub const RED: Self = Self { green: false, red: true };
}

/// What the front of the box shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Face {
    /// Rows of text, ASCII.
    pub rows: Vec<String>,
    /// Lamps from the top: role, alarms, other box, mail.
    pub lamps: [Lamp; 4],
}

/// A key beside the glass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LcdKey {
    /// Up.
    Up,
    /// Down.
    Down,
    /// Left.
    Left,
    /// Right.
    Right,
    /// The tick.
    Enter,
    /// The cross.
    Escape,
}

impl LcdKey {
    /// The key behind the code of a report; releases and unknown codes are none. The 631 has four
    /// keys around the glass: upper left, upper right, lower left, lower right.
    pub fn pressed(code: u8) -> Option<Self> {
        match code {
            1 | 13 => Some(Self::Up),
            2 | 15 => Some(Self::Down),
            3 => Some(Self::Left),
            4 => Some(Self::Right),
            5 | 14 => Some(Self::Enter),
            6 | 16 => Some(Self::Escape),
            _ => None,
        }
    }
}
