//! Stories of a box fresh from the factory: what it shows, and what it refuses to touch.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::operator::{Operator, bench};
use lab::machine::Boot;
use lab::parts::{BoxName, Kind, Which};
use lab::phrases;
use lab::protocol::Request;

const BOOT_MAX: Duration = Duration::from_mins(2);
const SOON: Duration = Duration::from_mins(1);

impl Operator {
    fn power_on(&self, name: BoxName) {
        self.ask(&Request::PowerOn { boxes: vec![name] });
    }

    fn type_at(&self, name: BoxName, keys: &str) {
        self.ask(&Request::Type { name, keys: keys.into() });
    }

    fn screen(&self, name: BoxName) -> String {
        self.ask(&Request::Screen { name })["text"].as_str().unwrap().to_owned()
    }

    /// Waits until the console of a box shows something.
    fn sees(&self, name: BoxName, wanted: &str, most: Duration) {
        let began = Instant::now();
        while !self.screen(name).contains(wanted) {
            assert!(began.elapsed() < most, "no {wanted:?} within {most:?}:\n{}", self.screen(name));
            sleep(Duration::from_millis(200));
        }
    }

    /// Answers the wizard up to the question for the LUN.
    fn answer_up_to_the_lun(&self) {
        self.sees(BoxName::A, phrases::WIZARD, BOOT_MAX);
        for answer in phrases::first_box() {
            self.sees(BoxName::A, answer.question, SOON);
            if answer.question.starts_with("[4/6]") {
                return;
            }
            self.type_at(BoxName::A, &answer.keys);
        }
    }
}

#[test]
fn boots_from_its_disk_and_asks_the_first_question() {
    let operator = bench("test-disk", Boot::Disk);
    let began = Instant::now();
    operator.power_on(BoxName::A);
    operator.sees(BoxName::A, phrases::WIZARD, BOOT_MAX);
    println!("power-on to the first question, from the disk: {:?}", began.elapsed());
}

#[test]
fn never_touches_a_lun_with_somebody_elses_data() {
    let operator = bench("test-foreign", Boot::Kernel);
    // A partition table as any PC has it, and data behind it.
    let lun = operator.place().lun();
    let mut file = File::options().write(true).open(&lun).unwrap();
    file.seek(SeekFrom::Start(446)).unwrap();
    file.write_all(&[0x80, 0, 2, 0, 0x83, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0x20, 0]).unwrap();
    file.seek(SeekFrom::Start(510)).unwrap();
    file.write_all(&[0x55, 0xAA]).unwrap();
    file.seek(SeekFrom::Start(1 << 20)).unwrap();
    file.write_all(b"somebody else's ledger").unwrap();
    drop(file);
    let before = first_megabytes(&lun);
    operator.power_on(BoxName::A);
    operator.answer_up_to_the_lun();
    operator.sees(BoxName::A, "never touched", SOON);
    operator.type_at(BoxName::A, "1\r");
    operator.sees(BoxName::A, "never written", SOON);
    assert_eq!(first_megabytes(&lun), before, "not a byte was changed");
}

fn first_megabytes(lun: &std::path::Path) -> Vec<u8> {
    let mut bytes = vec![0; 16 << 20];
    File::open(lun).unwrap().read_exact(&mut bytes).unwrap();
    bytes
}

#[test]
fn says_what_to_do_when_there_is_no_lun() {
    let operator = bench("test-no-lun", Boot::Kernel);
    operator.fault(Which::A, Kind::CutArray);
    operator.power_on(BoxName::A);
    operator.answer_up_to_the_lun();
    operator.sees(BoxName::A, "no LUN was found", SOON);
    // The cable is put in, and Return looks again.
    operator.heal();
    let began = Instant::now();
    while !operator.screen(BoxName::A).contains("blank") {
        assert!(began.elapsed() < SOON, "the LUN is not seen:\n{}", operator.screen(BoxName::A));
        if operator.screen(BoxName::A).contains("no LUN was found") {
            operator.type_at(BoxName::A, "\r");
        }
        sleep(Duration::from_secs(2));
    }
}
