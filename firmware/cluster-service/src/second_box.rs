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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::Input;
    use crate::media::{Ear, SharedLink};
    use crate::pairing::HostSide;
    use crate::settings_keeper::{Keep, SettingsKeeper};
    use crate::{pairing, serial};
    use cluster::Medium;
    use control::cluster::Interface;
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    use settings::Secret;
    use std::fs::File;
    use std::io::{Read, Write};
    use std::path::PathBuf;
    use std::time::Duration;

    const WAIT: Duration = Duration::from_secs(20);

    /// A null-modem cable: two pseudo-terminals, and threads that carry the bytes across, with noise.
    fn null_modem() -> (SerialPorts, SerialPorts) {
        let (one, one_path) = end();
        let (two, two_path) = end();
        for (mut from, mut to) in [(one.try_clone().unwrap(), two.try_clone().unwrap()), (two, one)] {
            thread::spawn(move || {
                let mut bytes = [0; 256];
                let mut carried = 0_u32;
                while let Ok(length) = from.read(&mut bytes) {
                    carried += 1;
                    // Often inside a frame, which is then lost.
                    let noise: &[u8] = if carried.is_multiple_of(7) { b"\r\nnoise " } else { b"" };
                    if to.write_all(&bytes[..length]).and_then(|()| to.write_all(noise)).is_err() {
                        return;
                    }
                }
            });
        }
        (ports(one_path), ports(two_path))
    }

    fn end() -> (File, PathBuf) {
        let end = openpt(OpenptFlags::RDWR).unwrap();
        grantpt(&end).unwrap();
        unlockpt(&end).unwrap();
        let path = PathBuf::from(ptsname(&end, Vec::new()).unwrap().to_str().unwrap());
        // Held open, so that a port that is opened again finds its cable still there.
        let held = File::open(&path).unwrap();
        thread::spawn(move || {
            thread::sleep(WAIT * 3);
            drop(held);
        });
        (File::from(end), path)
    }

    fn ports(heartbeat: PathBuf) -> SerialPorts {
        SerialPorts { console: PathBuf::new(), heartbeat, heartbeat_baud: 115_200, lcd: None, modem: None }
    }

    fn partition(dir: &tempfile::TempDir, name: &str) -> SettingsFile {
        let path = dir.path().join(name);
        std::fs::write(&path, vec![0; 1 << 20]).unwrap();
        SettingsFile::new(path)
    }

    /// A box with settings at the cable: what it tells its loop, and who keeps its settings.
    fn host(
        ports: &SerialPorts,
        file: SettingsFile,
        settings: &Settings,
    ) -> (Receiver<Input>, SettingsKeeper) {
        file.save(settings).unwrap();
        let (inputs, heard) = bounded(64);
        let keeper = SettingsKeeper::start(file, settings.clone()).unwrap();
        let ear = Ear::new(Medium::Serial, SharedLink::new(settings).unwrap(), inputs.clone());
        let host = HostSide::new(keeper.clone(), inputs);
        // Nobody beats here, but the thread ends when nobody could.
        let (beats, outgoing) = bounded(1);
        std::mem::forget(beats);
        serial::start(ports, ear, outgoing, host).unwrap();
        (heard, keeper)
    }

    fn wait_for<T>(inputs: &Receiver<SetupInput>, mut wanted: impl FnMut(SetupInput) -> Option<T>) -> T {
        loop {
            if let Some(found) = wanted(inputs.recv_timeout(WAIT).unwrap()) {
                return found;
            }
        }
    }

    fn answer(name: &str, address: &str) -> SecondBox {
        let public = Interface { addresses: vec![address.to_owned()], ..Interface::default() };
        SecondBox { box_name: name.to_owned(), public }
    }

    /// The next offer has a fresh key. It may be late, or lost in the noise: then the answer is given again.
    fn join_until_it_is_done(join: &Sender<JoinCommand>, inputs: &Receiver<SetupInput>, second: &SecondBox) {
        let done = (0..10).find_map(|_| {
            thread::sleep(Duration::from_millis(1_500));
            join.send(JoinCommand(second.clone())).unwrap();
            wait_for(inputs, |input| match input {
                SetupInput::Complete { paired } => Some(Some(paired)),
                SetupInput::Failed(reason) => {
                    println!("{reason}");
                    Some(None)
                }
                _ => None,
            })
        });
        assert_eq!(done, Some(true));
    }

    fn offer_of(inputs: &Receiver<SetupInput>) -> Offer {
        wait_for(inputs, |input| match input {
            SetupInput::Offer(offer) => offer,
            _ => None,
        })
    }

    #[test]
    fn a_survivor_that_has_forgotten_its_peer_takes_a_blank_box_into_the_free_place() {
        let dir = tempfile::tempdir().unwrap();
        let (host_port, blank_port) = null_modem();
        let (host_file, blank_file) = (partition(&dir, "host"), partition(&dir, "blank"));
        let before = Settings {
            box_name: "box-b".to_owned(),
            node: settings::Node::B,
            peer_name: Some("box-a".to_owned()),
            ..pairing::tests::first()
        };
        let (_heard, keeper) = host(&host_port, host_file.clone(), &before);
        // What is changed in operation is learned as well.
        let (send, inputs) = bounded(32);
        let join = start(&blank_port, blank_file.clone(), send).unwrap();
        keeper.keep(Keep::Language(settings::Language::Zh)).unwrap();
        let (answer_to, saved) = bounded(1);
        keeper.keep(Keep::Forget(Secret([9; 32]), answer_to)).unwrap();
        saved.recv_timeout(WAIT).unwrap().unwrap();
        let kept = host_file.load().unwrap().unwrap();
        assert_eq!((kept.peer_name.as_deref(), kept.former_mark), (None, Some(before.pair_mark())));

        let offer = offer_of(&inputs);
        assert_eq!((offer.by.as_str(), offer.name.as_str()), ("box-b", "box-a"));
        join_until_it_is_done(&join, &inputs, &answer("box-c", "10.77.0.14/24"));
        let blank = blank_file.load().unwrap().unwrap();
        assert_eq!((blank.node, &blank.pair_key), (settings::Node::A, &Secret([9; 32])));
        assert_eq!((blank.peer_name.as_deref(), blank.language), (Some("box-b"), settings::Language::Zh));
        let deadline = std::time::Instant::now() + WAIT;
        while keeper.look(|settings| settings.peer_name.as_deref() != Some("box-c")) {
            assert!(std::time::Instant::now() < deadline, "the survivor did not write its new peer down");
            thread::sleep(Duration::from_millis(20));
        }
    }

    #[test]
    fn the_second_box_learns_everything_over_the_cable() {
        let dir = tempfile::tempdir().unwrap();
        let (first_port, second_port) = null_modem();
        let (first_file, second_file) = (partition(&dir, "first"), partition(&dir, "second"));
        let (heard, _keeper) = host(&first_port, first_file.clone(), &pairing::tests::first());
        let (send, inputs) = bounded(32);
        let join = start(&second_port, second_file.clone(), send).unwrap();

        let offer = offer_of(&inputs);
        assert_eq!((offer.by.as_str(), offer.name.as_str()), ("box-a", "box-b"));

        // An answer that collides comes back with the first box's sentence, and may be given again.
        join.send(JoinCommand(answer("box-a", "10.77.0.14/24"))).unwrap();
        let reason = wait_for(&inputs, |input| match input {
            SetupInput::Failed(reason) => Some(reason),
            _ => None,
        });
        assert!(reason.contains("already called box-a"), "{reason}");
        assert!(second_file.load().unwrap().is_none());

        join_until_it_is_done(&join, &inputs, &answer("box-b", "10.77.0.14/24"));

        let second = second_file.load().unwrap().unwrap();
        let first = pairing::tests::first();
        assert_eq!((second.node, &second.pair_key), (settings::Node::B, &first.pair_key));
        assert_eq!(second.peer_name.as_deref(), Some("box-a"));
        let joined = loop {
            if let Input::PeerJoined { name } = heard.recv_timeout(WAIT).unwrap() {
                break name;
            }
        };
        assert_eq!(joined, "box-b");
        let deadline = std::time::Instant::now() + WAIT;
        while first_file.load().unwrap().unwrap().peer_name.as_deref() != Some("box-b") {
            assert!(std::time::Instant::now() < deadline, "the first box did not write its peer down");
            thread::sleep(Duration::from_millis(20));
        }
    }
}
