//! The threads that carry out orders: one for the array, one for the mail service, one for the public
//! network.
//!
//! The core gives one order at a time and does not wait longer than its deadline. A thread that hangs
//! in the kernel keeps its later orders waiting; the core then runs out of time, and resets what it
//! cannot stop.

use std::io;
use std::thread;
use std::time::Duration;

use cluster::{Event, Order, Step, StepFault, Time};
use crossbeam_channel::{Receiver, Sender, bounded};
use tracing::warn;

use crate::array_orders;
use crate::array_paths::ArrayPaths;
use crate::input::Input;
use crate::mail_service::MailService;
use crate::public_network::Request;

/// Most orders that wait for one thread. More than one waits only behind a thread that hangs.
pub const ORDERS_MAX: usize = 4;

/// An order with the number its answer carries.
#[derive(Debug, Clone, Copy)]
pub struct Job {
    /// Number of the order.
    pub run: u32,
    /// What to do.
    pub order: Order,
    /// When the core no longer waits for it. An order that comes to its turn later is not begun:
    /// behind an array that hung, a fence from long ago would take the group from a living owner.
    pub deadline: Time,
}

/// The threads that carry out orders.
#[derive(Debug)]
pub struct Hands {
    array: Sender<Job>,
    mail: Sender<Job>,
    public_network: Sender<Request>,
    inputs: Sender<Input>,
}

impl Hands {
    /// Starts the threads; results come as [`Event::Done`] through `inputs`.
    pub fn start(
        paths: ArrayPaths,
        mail: MailService,
        public_network: Sender<Request>,
        inputs: &Sender<Input>,
    ) -> io::Result<Self> {
        Ok(Self {
            array: hand("array-orders", inputs, move |order| array_orders::carry_out(&paths, order))?,
            mail: hand("mail-orders", inputs, move |order| carry_out_mail(&mail, order))?,
            public_network,
            inputs: inputs.clone(),
        })
    }

    /// Hands an order to its thread; never waits.
    pub fn give(&self, job: Job) {
        let is_taken = match job.order.step() {
            Step::Fence | Step::Prove | Step::Mount | Step::Unmount | Step::Unreserve => {
                self.array.try_send(job).is_ok()
            }
            Step::Recover | Step::Serve | Step::RestartMail | Step::Halt => {
                if job.order.step() == Step::Recover {
                    // If this does not fit, the announcement asks by itself.
                    let _ = self.public_network.try_send(Request::AskAhead);
                }
                self.mail.try_send(job).is_ok()
            }
            Step::Announce | Step::Withdraw => self.public_network.try_send(Request::Carry(job)).is_ok(),
        };
        if !is_taken {
            warn!("the thread for {} hangs; the order is refused", job.order.step());
            let fault = StepFault::Failed("an earlier step still hangs".to_owned());
            // A full input channel loses this; the core's deadline says the same a little later.
            let _ = self.inputs.try_send(Input::Core(Event::Done { run: job.run, result: Err(fault) }));
        }
    }
}

fn hand(
    name: &str,
    inputs: &Sender<Input>,
    mut carry_out: impl FnMut(&Order) -> Result<(), StepFault> + Send + 'static,
) -> io::Result<Sender<Job>> {
    let (give, jobs): (Sender<Job>, Receiver<Job>) = bounded(ORDERS_MAX);
    let inputs = inputs.clone();
    thread::Builder::new().name(name.to_owned()).spawn(move || {
        for Job { run, order, deadline } in jobs {
            let result = if array::now() < deadline {
                carry_out(&order)
            } else {
                Err(StepFault::Failed("its time was over before it could begin".to_owned()))
            };
            if let Err(fault) = &result {
                warn!("{}: {fault}", order.step());
            }
            if inputs.send(Input::Core(Event::Done { run, result })).is_err() {
                return;
            }
        }
    })?;
    Ok(give)
}

fn carry_out_mail(mail: &MailService, order: &Order) -> Result<(), StepFault> {
    let limit = Duration::from_millis(order.step().deadline_ms());
    match order {
        Order::Recover { proof } => mail.start(proof),
        Order::Serve { proof } => mail.wait_until_serving(proof, limit),
        Order::RestartMail { proof } => {
            mail.kill()?;
            mail.start(proof)?;
            mail.wait_until_serving(proof, limit)
        }
        Order::Halt => mail.stop(),
        other => Err(StepFault::Failed(format!("{} does not concern the mail service", other.step()))),
    }
}
