//! Where the panel finds its terminals and services: arguments, environment, board file.

use std::path::{Path, PathBuf};

use board::{BOARD_PATH, Board, BoardError, LcdModel};
use thiserror::Error;

/// Environment variable in which init names the system partition.
pub const SYSTEM_VARIABLE: &str = "TWINMAIL_SYSTEM";

/// Why the panel cannot start; each is a sentence to the administrator.
#[derive(Debug, Error)]
pub enum PanelError {
    /// The board file is wrong, and no terminal was named instead.
    #[error("the panel does not know its ports: {0}")]
    Board(#[from] BoardError),
    /// A word that is no option.
    #[error(
        "the panel does not know {0:?}; it knows --console, --lcd, --lcd-model, --run-dir, --system and --board"
    )]
    UnknownOption(String),
    /// An option without its value.
    #[error("the panel's option {0} needs a value")]
    ValueMissing(String),
    /// No display is called so.
    #[error("{0:?} is not an LCD model; choose cfa635, cfa633, cfa631 or none")]
    LcdModel(String),
    /// The system gave no pipe or no thread.
    #[error("the system refused what the panel needs to start: {0}")]
    System(#[from] std::io::Error),
}

/// Where everything is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The console's terminal.
    pub console: PathBuf,
    /// The LCD's port.
    pub lcd: Option<PathBuf>,
    /// Which display is there.
    pub lcd_model: LcdModel,
    /// Directory of the control sockets.
    pub run_dir: PathBuf,
    /// The system partition with the settings.
    pub system: Option<PathBuf>,
}

#[derive(Default)]
struct Options {
    console: Option<PathBuf>,
    lcd: Option<PathBuf>,
    lcd_model: Option<LcdModel>,
    run_dir: Option<PathBuf>,
    system: Option<PathBuf>,
    board: Option<PathBuf>,
}

impl Place {
    /// From the arguments; what they leave open comes from the board file. `system` is what init said.
    pub fn find(args: &[String], system: Option<PathBuf>) -> Result<Self, PanelError> {
        let options = Options::read(args)?;
        let run_dir = options.run_dir.unwrap_or_else(|| control::RUN_DIR.into());
        let system = options.system.or(system);
        if let Some(console) = options.console {
            let lcd_model = options.lcd_model.unwrap_or(LcdModel::Cfa635);
            return Ok(Self { console, lcd: options.lcd, lcd_model, run_dir, system });
        }
        let board = Board::load(options.board.as_deref().unwrap_or(Path::new(BOARD_PATH)))?;
        let lcd_model = options.lcd_model.unwrap_or(board.lcd.model);
        let lcd = options.lcd.or(board.serial.lcd).filter(|_| lcd_model != LcdModel::None);
        Ok(Self { console: board.serial.console, lcd, lcd_model, run_dir, system })
    }
}

impl Options {
    fn read(args: &[String]) -> Result<Self, PanelError> {
        let mut options = Self::default();
        let mut args = args.iter();
        while let Some(name) = args.next() {
            let mut value = || args.next().ok_or_else(|| PanelError::ValueMissing(name.clone()));
            match name.as_str() {
                "--console" => options.console = Some(value()?.into()),
                "--lcd" => options.lcd = Some(value()?.into()),
                "--lcd-model" => options.lcd_model = Some(lcd_model(value()?)?),
                "--run-dir" => options.run_dir = Some(value()?.into()),
                "--system" => options.system = Some(value()?.into()),
                "--board" => options.board = Some(value()?.into()),
                _ => return Err(PanelError::UnknownOption(name.clone())),
            }
        }
        Ok(options)
    }
}

fn lcd_model(name: &str) -> Result<LcdModel, PanelError> {
    let models = [LcdModel::Cfa635, LcdModel::Cfa633, LcdModel::Cfa631, LcdModel::None];
    let found = models.into_iter().find(|model| model.to_string() == name);
    found.ok_or_else(|| PanelError::LcdModel(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(text: &str) -> Result<Place, PanelError> {
        Place::find(&text.split_whitespace().map(str::to_owned).collect::<Vec<_>>(), None)
    }

    #[test]
    fn the_board_file_names_the_ports() {
        let board = concat!(env!("CARGO_MANIFEST_DIR"), "/../../board/qemu-q35.toml");
        let place = find(&format!("--board {board}")).unwrap();
        assert_eq!(place.console, Path::new("/dev/ttyS0"));
        assert_eq!(place.lcd.as_deref(), Some(Path::new("/dev/ttyS2")));
        let place = find(&format!("--board {board} --lcd-model none")).unwrap();
        assert_eq!(place.lcd, None);
    }

    #[test]
    fn wrong_arguments_are_named() {
        for bad in ["--fly", "--console", "--console x --lcd-model vfd", "--board /nonexistent"] {
            let error = find(bad).unwrap_err().to_string();
            let last = bad.split_whitespace().last().unwrap();
            assert!(error.contains(last), "{error}");
        }
    }
}
