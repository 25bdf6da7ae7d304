//! The outgoing queue: when, where to, and what is said about it.

mod attempt;
pub(crate) mod notice;
mod route;
mod smarthost;
mod worker;

pub(crate) use route::Router;
pub(crate) use smarthost::{SETTING as SMARTHOST_SETTING, Smarthost};
pub(crate) use worker::{Worker, give_up};
