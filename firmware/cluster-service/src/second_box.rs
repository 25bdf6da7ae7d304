//! The second box of a pair: it shows who offers on the serial cable, and takes the settings once a
//! person agrees.

use std::io;
use std::thread;

use board::SerialPorts;
use control::cluster::SecondBox;
use crossbeam_channel::{Receiver, Sender, bounded};
use link::StreamEvent;
use link::pairing::{self, Joiner, JoinerEvent};
use settings::{Settings, SettingsFile, check_box_name, parse_interface_address};

use crate::pairing::{JoinError, Offer, describe};
use crate::serial::Cable;
use crate::setup::SetupInput;

/// What is done first.
pub const FIRST_STEP: &str = "The first box is asked for the pair's settings.";
const SAVE_STEP: &str = "The pair's settings are saved.";

/// The administrator's word that this box shall join.
#[derive(Debug)]
pub struct JoinCommand(pub SecondBox);

/// Checks what can be checked here; the first box checks the rest.
pub fn check(second: &SecondBox) -> Result<(), JoinError> {
    check_box_name(&second.box_name)?;
    if second.public.addresses.is_empty() {
        return Err(JoinError::NoAddress);
    }
    for text in &second.public.addresses {
        parse_interface_address(text)?;
    }
    Ok(())
}

/// Starts the thread that listens on the serial cable; commands go into the sender that comes back.
pub fn start(
    ports: &SerialPorts,
    file: SettingsFile,
    inputs: Sender<SetupInput>,
) -> io::Result<Sender<JoinCommand>> {
    let (give, commands) = bounded(1);
    let cable = Cable::new(&ports.heartbeat, ports.heartbeat_baud);
    let side = JoinerSide { cable, joiner: Joiner::default(), offer: None, saved: false, file, inputs };
    thread::Builder::new().name("serial".to_owned()).spawn(move || side.run(&commands))?;
    Ok(give)
}

/// The second box's end of the cable.
struct JoinerSide {
    cable: Cable,
    joiner: Joiner,
    offer: Option<Offer>,
    /// The settings are on the disk: whatever comes now, this box is set up.
    saved: bool,
    file: SettingsFile,
    inputs: Sender<SetupInput>,
}

impl JoinerSide {
    fn run(mut self, commands: &Receiver<JoinCommand>) {
        loop {
            for event in self.cable.listen() {
                let StreamEvent::Frame(frame) = event else { continue };
                let Some(message) = pairing::open(&frame) else { continue };
                if let Some(event) = self.joiner.hear(&message, array::now().0) {
                    self.act(event);
                }
            }
            if let Ok(JoinCommand(second)) = commands.try_recv()
                && let Err(error) = self.joiner.join(&describe(&second), array::now().0)
            {
                self.tell(SetupInput::Failed(error.to_string()));
            }
            match self.joiner.poll(array::now().0) {
                Ok(Some(message)) => self.cable.say(&message),
                Ok(None) => {}
                Err(error) => self.act(JoinerEvent::Failed(error)),
            }
            self.show_offer();
        }
    }

    fn act(&mut self, event: JoinerEvent) {
        match event {
            JoinerEvent::Received { parcel } => match self.save(&parcel) {
                Ok(()) => self.saved = true,
                Err(reason) => self.tell(SetupInput::Failed(reason)),
            },
            JoinerEvent::Finished => self.tell(SetupInput::Complete { paired: true }),
            // The first box hears of it by this box's beats.
            JoinerEvent::Failed(_) if self.saved => self.tell(SetupInput::Complete { paired: true }),
            JoinerEvent::Failed(error) => self.tell(SetupInput::Failed(error.to_string())),
        }
    }

    fn save(&mut self, parcel: &[u8]) -> Result<(), String> {
        self.tell(SetupInput::Step(SAVE_STEP));
        let settings: Settings =
            serde_json::from_slice(parcel).map_err(|_| JoinError::NotUnderstood.to_string())?;
        settings.check().map_err(|error| error.to_string())?;
        self.file.save(&settings).map_err(|error| error.to_string())?;
        self.joiner.saved().map_err(|error| error.to_string())
    }

    /// Tells the set-up loop who offers, when that has changed.
    fn show_offer(&mut self) {
        let about = self.joiner.offer(array::now().0);
        let offer = about.and_then(|about| serde_json::from_slice(about).ok());
        if offer != self.offer {
            self.offer.clone_from(&offer);
            self.tell(SetupInput::Offer(offer));
        }
    }

    fn tell(&self, input: SetupInput) {
        let _ = self.inputs.send(input);
    }
}
