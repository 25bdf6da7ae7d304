//! The outgoing queue: when, where to, and what is said about it.
//!
//! `worker` finds destinations with something due and gives out sessions as `smtp::dispatch` says;
//! `session` works one destination's messages off over one connection; `route` and `connect` find the
//! server and get it ready, `sts` knows which domains demand that it proves itself; `judge` decides what an answer means, and `settle` writes that down with the
//! notices, in the transaction that ends the claim.

mod admin;
mod alarm;
mod connect;
mod home;
mod http;
mod judge;
mod letter;
pub(crate) mod notice;
mod pool;
mod route;
mod seal;
mod session;
mod settle;
mod sign;
mod smarthost;
mod sts;
mod trust;
mod worker;

pub(crate) use admin::answer;
pub(crate) use connect::Connector;
pub(crate) use judge::first_alarm_ms;
pub(crate) use route::Router;
pub(crate) use smarthost::{SETTING as SMARTHOST_SETTING, Smarthost};
pub(crate) use sts::Sts;
pub(crate) use trust::Trust;
pub(crate) use worker::Worker;
