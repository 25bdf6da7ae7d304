//! The lab's first process inside its namespaces: builds the bench, answers the command line, and
//! ends everything by ending itself.

use std::net::TcpListener;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Command, ExitCode, exit};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::ear;
use crate::error::{Doing, LabError, Result};
use crate::forward;
use crate::lab::Lab;
use crate::machine::Power;
use crate::namespaces;
use crate::parts::BoxName;
use crate::place::Place;
use crate::protocol::{Line, Plan, Reply, Request};

/// The outer half: takes the loopback ports while it still has the host's network, starts the inner
/// half, and waits for its end.
pub fn run_outside(plan: &Plan) -> Result<ExitCode> {
    let place = Place::of(&plan.instance)?;
    place.make()?;
    let _ = rustix::process::setsid();
    let listeners = forward::bind(plan.ports_base, plan.groups)?;
    let numbers: Result<Vec<String>> =
        listeners.iter().map(|listener| Ok(namespaces::let_child_inherit(listener)?.to_string())).collect();
    let program = std::env::current_exe().doing(|| "the lab's own program is gone".into())?;
    let mut inside = Command::new(program);
    inside.arg("inside").arg(serde_json::to_string(plan)?).args(numbers?);
    let mut child = namespaces::spawn_inside(&mut inside)?;
    drop(listeners);
    let pid_file = place.pid_file();
    std::fs::write(&pid_file, child.id().to_string())
        .doing(|| "the lab's pid file cannot be written".into())?;
    let status = child.wait().doing(|| "the lab's first process was lost".into())?;
    let _ = std::fs::remove_file(pid_file);
    let _ = std::fs::remove_file(place.file("control.sock"));
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The inner half.
pub fn run_inside(plan: Plan, listeners: Vec<TcpListener>) -> Result<ExitCode> {
    let place = Place::of(&plan.instance)?;
    namespaces::settle()?;
    let groups = plan.groups;
    let lab = Arc::new(Lab::build(&place, plan)?);
    forward::start(listeners, groups);
    let path = place.control()?;
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).doing(|| "the lab's socket cannot be made".into())?;
    eprintln!("the lab is ready");
    for stream in listener.incoming().flatten() {
        let lab = Arc::clone(&lab);
        thread::spawn(move || {
            if let Err(error) = serve(&lab, stream) {
                eprintln!("command line: {error}");
            }
        });
    }
    Ok(ExitCode::SUCCESS)
}

fn serve(lab: &Arc<Lab>, stream: UnixStream) -> Result<()> {
    let mut line = Line::over(stream, &lab.place)?;
    let request: Request = line.receive()?;
    match request {
        Request::Own => own(line),
        Request::Down => {
            line.send(&Reply::Done(json!({})))?;
            end()
        }
        Request::Attach { name } => attach(lab, name, line),
        request => {
            let mut broken = None;
            let reply = carry_out(lab, request, &mut |text, took| {
                let step = Reply::Step { text: text.into(), ms: took.as_millis() as u64 };
                broken = line.send(&step).err();
            });
            line.send(&reply.unwrap_or_else(|error| Reply::Failed(error.to_string())))
        }
    }
}

/// The caller is the lab's owner: with its connection the lab ends, however the owner ended; unless
/// it said a last word first.
fn own(mut line: Line) -> Result<()> {
    line.send(&Reply::Done(json!({})))?;
    match std::io::copy(&mut line.into_stream(), &mut std::io::sink()) {
        Ok(1..) => Ok(()),
        _ => end(),
    }
}

/// Ends this process; the kernel ends all others of the namespace with it.
fn end() -> ! {
    exit(0)
}

fn carry_out(lab: &Arc<Lab>, request: Request, steps: &mut dyn FnMut(&str, Duration)) -> Result<Reply> {
    let value = match request {
        Request::Up { boxes } => lab.bring_up(&boxes, steps)?,
        Request::PowerOn { boxes } => {
            boxes.into_iter().try_for_each(|name| lab.power_on(name))?;
            json!({})
        }
        Request::Status => lab.status(),
        Request::Fault { which, kind, heal_after_ms } => {
            let name = lab.fault(which, kind, heal_after_ms.map(Duration::from_millis))?;
            json!({ "box": name, "kind": kind })
        }
        Request::Heal { name, kind } => json!({ "healed": lab.heal(name, kind)? }),
        Request::Cable { which, number, what } => {
            json!({ "box": lab.cable_to_the_array(which, number, what)? })
        }
        Request::Controller { name, what } => {
            lab.control(name, what)?;
            json!({})
        }
        Request::StopInOrder => {
            lab.stop_in_order()?;
            json!({})
        }
        Request::Glass { name } => return Ok(Reply::Glass(Box::new(lab.lcd(name).glass()))),
        Request::Press { name, key } => {
            require_power(lab, name)?;
            lab.lcd(name).press(key);
            json!({})
        }
        Request::Command { name, words } => {
            require_power(lab, name)?;
            json!({ "printed": lab.console(name).command(&words)? })
        }
        Request::Type { name, keys } => {
            require_power(lab, name)?;
            lab.console(name).type_keys(keys.as_bytes());
            json!({})
        }
        Request::Heard => json!({ "heard": lab.ear().heard() }),
        Request::Metrics { name } => json!({ "text": ear::metrics(name)? }),
        Request::Screen { name } => json!({ "text": lab.console(name).tape().last_lines(200) }),
        Request::Own | Request::Down | Request::Attach { .. } => json!({}),
    };
    Ok(Reply::Done(value))
}

fn require_power(lab: &Lab, name: BoxName) -> Result<()> {
    match lab.machine(name).power() {
        Power::On => Ok(()),
        Power::Off => Err(LabError::PowerOff(name)),
    }
}

fn attach(lab: &Arc<Lab>, name: BoxName, mut line: Line) -> Result<()> {
    let console = lab.console(name);
    let Some(pieces) = console.tape().attach() else {
        return line.send(&Reply::Failed(LabError::ConsoleTaken(name).to_string()));
    };
    line.send(&Reply::Done(json!({})))?;
    console.logged_out();
    let mut keys = line.into_stream();
    let mut screen = keys.try_clone().doing(|| "a socket cannot be shared".into())?;
    let typing = Arc::clone(lab);
    thread::spawn(move || {
        let mut buffer = [0; 256];
        while let Ok(read @ 1..) = std::io::Read::read(&mut keys, &mut buffer) {
            typing.console(name).type_keys(&buffer[..read]);
        }
        typing.console(name).tape().detach();
    });
    for piece in pieces {
        if std::io::Write::write_all(&mut screen, &piece).is_err() {
            break;
        }
    }
    console.tape().detach();
    Ok(())
}
