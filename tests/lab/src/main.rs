//! The lab's command line: reads what is wanted, asks the lab's daemon, prints the answer.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};
use serde_json::{Value, json};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use lab::array::LUN_SIZE_MIB;
use lab::client::{self, Owner};
use lab::controller::Controlling;
use lab::error::{Doing, LabError, Result};
use lab::lcd::Key;
use lab::machine::Boot;
use lab::parts::{BoxName, Kind, PORTS_BASE, Which};
use lab::place::{Place, project_root};
use lab::protocol::{Line, Plan, Reply, Request, ask};
use lab::second_path::Cable;
use lab::verify::strain::be_busy;
use lab::verify::{self, Task};
use lab::{daemon, glass, namespaces, screen, terminal};

/// Two QEMU boxes, a disk array, displays, consoles, faults, and the judge.
#[derive(Debug, Parser)]
#[command(name = "lab", bin_name = "cargo lab")]
struct Arguments {
    /// Name of the lab; a second one runs beside the first under another name and other ports
    #[arg(long, global = true, default_value = "demo")]
    instance: String,
    #[command(subcommand)]
    order: Order,
}

#[derive(Debug, clap::Args)]
struct Bench {
    /// Folder of the box image [default: what TWINMAIL_IMAGE says, or target/image]
    #[arg(long)]
    image: Option<PathBuf>,
    /// Start kernel and initramfs directly, or firmware and disk
    #[arg(long, default_value = "kernel")]
    boot: Boot,
    /// The forwarded loopback ports are this plus 525, 587, 465, 143, 993, 110 and 995
    #[arg(long, default_value_t = PORTS_BASE)]
    ports_base: u16,
    /// Cables between each box and the array
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=2))]
    paths: u8,
    /// Service groups: with 2, each box serves one and either can carry both
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=2))]
    groups: u8,
    /// Give each box a management controller that speaks IPMI over LAN
    #[arg(long)]
    controllers: bool,
    /// Size of each LUN, where it is new
    #[arg(long, default_value_t = LUN_SIZE_MIB)]
    lun_mib: u32,
    /// Forget disks and array of an earlier lab
    #[arg(long)]
    fresh: bool,
}

#[derive(Debug, Subcommand)]
enum Order {
    /// Start the lab: boxes, array, displays; set up what is blank; wait until mail is served
    Up {
        #[command(flatten)]
        bench: Bench,
        /// How many boxes get power
        #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=2))]
        boxes: u8,
        /// Stay, and end the lab with Ctrl-C
        #[arg(long)]
        foreground: bool,
        /// Only give power; set up nothing, wait for nothing
        #[arg(long)]
        bare: bool,
    },
    /// End the lab and everything it started
    Down,
    /// Show both boxes: role, epoch, media, reservation, services, last takeover
    Status {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Break something
    Fault {
        /// Of which box
        which: Which,
        /// What
        kind: Kind,
        /// Heal it after so many seconds
        #[arg(long = "for", value_name = "SECONDS")]
        seconds: Option<f64>,
    },
    /// Cut, hang or plug one array cable: cargo lab cable active 1 cut
    Cable {
        /// Of which box
        which: Which,
        /// The first or the second
        number: u8,
        /// What
        what: Cable,
    },
    /// Give a box's management controller power, or take it away: cargo lab controller a off
    Controller {
        /// Whose
        name: BoxName,
        /// What
        what: Controlling,
    },
    /// Put right what was broken, all of it or part of it
    Heal {
        /// Only of this box
        name: Option<BoxName>,
        /// Only this
        kind: Option<Kind>,
    },
    /// Sit down at the serial console of a box; Ctrl-] leaves
    Console {
        /// Which box
        name: BoxName,
        /// Only print what it has said lately
        #[arg(long)]
        print: bool,
    },
    /// Show the display of a box
    Lcd {
        /// Which box
        name: BoxName,
        /// Write a picture of the glass
        #[arg(long, value_name = "FILE")]
        png: Option<PathBuf>,
    },
    /// Press a key under the display of a box
    Press {
        /// Which box
        name: BoxName,
        /// Which key
        key: Key,
    },
    /// Give a command on the console of a box: cargo lab ctl a -- twinmail account list
    Ctl {
        /// Which box
        name: BoxName,
        /// The command
        #[arg(last = true, required = true)]
        words: Vec<String>,
    },
    /// Show what the boxes have told the administrator's log host: syslog to 10.77.0.1, webhooks to
    /// http://10.77.0.1:8080/
    Heard,
    /// Fetch the metrics of a box, where `metrics set --port 9464` was given
    Metrics {
        /// Of which box
        name: BoxName,
    },
    /// Run a program in the lab's public network: cargo lab exec -- swaks --server 10.77.0.10 ...
    Exec {
        /// Program and arguments
        #[arg(last = true, required = true)]
        words: Vec<String>,
    },
    /// Judge: load, faults by a seeded plan, then count what was lost. Uses the lab that runs, or
    /// starts one and ends it
    Verify {
        #[command(flatten)]
        bench: Bench,
        /// Faults of the box that serves, separated by commas [default: everything, at either box,
        /// alone and together]
        #[arg(long, value_delimiter = ',')]
        faults: Vec<Kind>,
        /// The named faults strike the other box, which must not stop or move anything
        #[arg(long, requires = "faults")]
        at_standby: bool,
        /// Go on for so many minutes
        #[arg(long)]
        minutes: Option<f64>,
        /// Stop after so many faults
        #[arg(long)]
        cycles: Option<u32>,
        /// Where chance begins; the same seed gives the same plan [default: drawn, and printed]
        #[arg(long)]
        seed: Option<u64>,
        /// No faults: keep every processor and the disk busy, and see that nothing moves
        #[arg(long, conflicts_with_all = ["faults", "cycles"])]
        strain: bool,
        /// The verdict as JSON
        #[arg(long)]
        json: bool,
    },
    /// Play a plan of the simulator against the boxes, and compare what both decided. Uses the lab
    /// that runs, or starts one and ends it
    Replay {
        #[command(flatten)]
        bench: Bench,
        /// Seed of the plan; `cargo run -p sim -- plan SEED --lab` prints it
        seed: u64,
        /// The comparison as JSON
        #[arg(long)]
        json: bool,
    },
    /// Keep a processor or the disk busy
    #[command(hide = true)]
    Busy {
        /// The file to write, or none to count
        file: Option<PathBuf>,
    },
    /// The lab's own process, outer half
    #[command(hide = true)]
    Daemon {
        /// What it is made of
        plan: String,
    },
    /// The lab's own process, inner half
    #[command(hide = true)]
    Inside {
        /// What it is made of
        plan: String,
        /// Inherited listeners
        listeners: Vec<i32>,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<ExitCode> {
    let place = Place::of(&arguments.instance)?;
    match arguments.order {
        Order::Up { bench, boxes, foreground, bare } => {
            up(&arguments.instance, &place, bench, boxes, foreground, bare)?;
        }
        Order::Down => client::down(&place)?,
        Order::Status { json } => {
            let report = ask(&place, &Request::Status)?;
            println!("{}", if json { report.to_string() } else { screen::status(&report) });
        }
        Order::Fault { which, kind, seconds } => fault(&place, which, kind, seconds)?,
        Order::Cable { which, number, what } => {
            let answer = ask(&place, &Request::Cable { which, number, what })?;
            println!("box {}: array cable {number}: {what:?}", answer["box"].as_str().unwrap_or("?"));
        }
        Order::Controller { name, what } => ask(&place, &Request::Controller { name, what }).map(drop)?,
        Order::Heal { name, kind } => {
            let answer = ask(&place, &Request::Heal { name, kind })?;
            let healed = answer["healed"].as_array().map_or(0, Vec::len);
            println!(
                "{}",
                if healed == 0 { "nothing was broken".into() } else { format!("{}", answer["healed"]) }
            );
        }
        Order::Console { name, print: false } => terminal::sit_at(&place, name)?,
        Order::Console { name, print: true } => {
            print_text(&ask(&place, &Request::Screen { name })?["text"]);
        }
        Order::Lcd { name, png } => lcd(&place, name, png)?,
        Order::Press { name, key } => {
            ask(&place, &Request::Press { name, key })?;
        }
        Order::Ctl { name, words } => {
            let words = words.join(" ");
            let answer = ask(&place, &Request::Command { name, words })?;
            print_text(&answer["printed"]);
        }
        Order::Heard => {
            for heard in ask(&place, &Request::Heard)?["heard"].as_array().into_iter().flatten() {
                println!("{heard}");
            }
        }
        Order::Metrics { name } => {
            print!("{}", ask(&place, &Request::Metrics { name })?["text"].as_str().unwrap_or(""));
        }
        Order::Exec { words } => exec(&place, &words)?,
        Order::Verify { bench, faults, at_standby, minutes, cycles, seed, strain, json } => {
            let seed = seed.unwrap_or_else(drawn_seed);
            let time = minutes.map(|minutes| Duration::from_secs_f64(minutes.max(0.0) * 60.0));
            let task = Task { faults, at_standby, time, cycles, seed, strain };
            return verify(&arguments.instance, &place, &bench, &task, json);
        }
        Order::Replay { bench, seed, json } => {
            return replay(&arguments.instance, &place, &bench, seed, json);
        }
        Order::Busy { file } => be_busy(file.as_deref())?,
        Order::Daemon { plan } => return daemon::run_outside(&serde_json::from_str(&plan)?),
        Order::Inside { plan, listeners } => {
            let listeners: Result<Vec<_>> = listeners.into_iter().map(namespaces::inherit).collect();
            return daemon::run_inside(serde_json::from_str(&plan)?, listeners?);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A seed that is easy to type again.
fn drawn_seed() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    now.as_millis() as u64 % 1_000_000
}

fn plan(instance: &str, bench: &Bench) -> Result<Plan> {
    let named = bench.image.clone().or_else(|| std::env::var_os("TWINMAIL_IMAGE").map(PathBuf::from));
    let image = match named {
        Some(image) => std::path::absolute(image).doing(|| "the image's folder has no path".into())?,
        None => project_root()?.join("target/image"),
    };
    Ok(Plan {
        instance: instance.into(),
        image,
        boot: bench.boot,
        ports_base: bench.ports_base,
        paths: bench.paths,
        groups: bench.groups,
        controllers: bench.controllers,
        lun_mib: bench.lun_mib,
    })
}

fn up(instance: &str, place: &Place, bench: Bench, boxes: u8, foreground: bool, bare: bool) -> Result<()> {
    let plan = plan(instance, &bench)?;
    let mut signals = Signals::new([SIGINT, SIGTERM]).doing(|| "signals cannot be caught".into())?;
    if bench.fresh && client::is_running(place) {
        client::down(place)?;
    }
    let owner = if client::is_running(place) && !foreground {
        None
    } else {
        println!("Starting the lab: network, array, cables, displays");
        Some(Owner::start(&own_program()?, &plan, bench.fresh)?)
    };
    let interrupted = std::thread::spawn(move || signals.forever().next());
    let boxes: Vec<BoxName> = BoxName::ALL.into_iter().take(boxes.into()).collect();
    let request = if bare { Request::PowerOn { boxes } } else { Request::Up { boxes } };
    let asking_place = place.clone();
    let asking = std::thread::spawn(move || client::ask_aloud(&asking_place, &request));
    while !asking.is_finished() && !interrupted.is_finished() {
        std::thread::sleep(Duration::from_millis(20));
    }
    if asking.is_finished() {
        let answer = asking.join().unwrap_or(Err(LabError::NotRunning));
        let shown = answer.map(|answer| show_welcome(&answer, &plan, bare));
        if shown.is_err() && owner.is_some() {
            eprintln!("The lab is ended. What it and the boxes said is in {}", place.dir.display());
        }
        shown?;
    }
    match owner {
        Some(owner) if foreground || interrupted.is_finished() => {
            if !interrupted.is_finished() {
                println!("\nCtrl-C ends the lab.");
            }
            let _ = interrupted.join();
            println!("\nEnding the lab");
            owner.end()
        }
        Some(owner) => {
            owner.keep();
            Ok(())
        }
        None => Ok(()),
    }
}

fn show_welcome(answer: &Value, plan: &Plan, bare: bool) {
    if !bare {
        println!("{}", screen::welcome(answer["active"].as_str().unwrap_or("none"), plan.ports_base));
    }
}

fn own_program() -> Result<PathBuf> {
    std::env::current_exe().doing(|| "the lab's own program is gone".into())
}

fn replay(instance: &str, place: &Place, bench: &Bench, seed: u64, json: bool) -> Result<ExitCode> {
    let began = Instant::now();
    let boxes = BoxName::ALL.to_vec();
    let owner = if client::is_running(place) {
        None
    } else {
        Some(Owner::start(&own_program()?, &plan(instance, bench)?, bench.fresh)?)
    };
    Line::open(place)?.ask(&Request::Up { boxes }, |_, _| {})?;
    let comparison = lab::replay::replay(place, seed, &mut |text| {
        if !json {
            println!("  {:>6.1} s  {text}", began.elapsed().as_secs_f64());
        }
    })?;
    println!("{}", if json { comparison.json().to_string() } else { comparison.table() });
    owner.map_or(Ok(()), Owner::end)?;
    Ok(if comparison.agrees() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn verify(instance: &str, place: &Place, bench: &Bench, task: &Task, json: bool) -> Result<ExitCode> {
    let began = Instant::now();
    let boxes = BoxName::ALL.to_vec();
    let owner = if client::is_running(place) {
        None
    } else {
        Some(Owner::start(&own_program()?, &plan(instance, bench)?, bench.fresh)?)
    };
    let quiet = |_: &str, _| {};
    if json {
        Line::open(place)?.ask(&Request::Up { boxes: boxes.clone() }, quiet)?;
    } else {
        client::ask_aloud(place, &Request::Up { boxes: boxes.clone() })?;
    }
    // Before any thread is started: a process with threads cannot change its user namespace.
    namespaces::enter_network(client::first_process(place)?)?;
    let verdict = verify::judge(place, task, &mut |text| {
        if !json {
            println!("  {:>6.1} s  {text}", began.elapsed().as_secs_f64());
        }
    })?;
    println!("{}", if json { verdict.json().to_string() } else { verdict.table() });
    match owner {
        Some(owner) => owner.end()?,
        None => {
            Line::open(place)?.ask(&Request::Up { boxes }, quiet)?;
        }
    }
    Ok(if verdict.complaints().is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn fault(place: &Place, which: Which, kind: Kind, seconds: Option<f64>) -> Result<()> {
    let heal_after_ms = seconds.map(|seconds| (seconds.max(0.0) * 1000.0) as u64);
    let answer = ask(place, &Request::Fault { which, kind, heal_after_ms })?;
    let name = answer["box"].as_str().unwrap_or("?");
    let until = match seconds {
        _ if !kind.lasts() => String::new(),
        Some(seconds) => format!(", for {seconds} s"),
        None => format!("; `cargo lab heal {name}` puts it right"),
    };
    println!("box {name}: {kind}{until}");
    Ok(())
}

fn lcd(place: &Place, name: BoxName, png: Option<PathBuf>) -> Result<()> {
    let Reply::Glass(glass) = Line::open(place)?.ask(&Request::Glass { name }, |_, _| {})? else {
        return Err(LabError::Refused("the lab answered out of turn".into()));
    };
    match png {
        Some(file) => {
            glass::write_png(&glass, &file)?;
            println!("{}", file.display());
        }
        None => println!("{}", glass.framed(&format!("box {name}"))),
    }
    Ok(())
}

fn exec(place: &Place, words: &[String]) -> Result<()> {
    namespaces::enter_network(client::first_process(place)?)?;
    let [program, rest @ ..] = words else { return Ok(()) };
    let source = Command::new(program).args(rest).exec();
    Err(LabError::Io { what: format!("{program} cannot be started"), source })
}

fn print_text(value: &Value) {
    println!("{}", value.as_str().unwrap_or(&json!(value).to_string()));
}
