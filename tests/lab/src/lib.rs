//! The lab: two QEMU boxes, a disk array, the cables between them, displays, consoles, faults, and
//! the judge who counts what was lost. `cargo lab help` lists what it does; `make run` and the
//! end-to-end tests are built on it.
//!
//! It has no back door into a box. It knows what an administrator knows: the serial console, the
//! display, the mail ports; and it does what can be done to hardware: power, buttons, cables.
//!
//! Everything runs in unnamed namespaces under one process (`daemon`); when that ends, however it
//! ends, nothing is left behind but the files in `.lab/`.

pub mod array;
pub mod bring_up;
pub mod chardev;
pub mod client;
pub mod clients;
pub mod console;
pub mod controller;
pub mod daemon;
pub mod damage;
pub mod ear;
pub mod error;
pub mod faults;
pub mod font;
pub mod forward;
pub mod glass;
pub mod kind;
pub mod lab;
pub mod lcd;
pub mod machine;
pub mod namespaces;
pub mod network;
pub mod partition;
pub mod parts;
pub mod phrases;
pub mod place;
pub mod protocol;
pub mod qmp;
pub mod replay;
pub mod screen;
pub mod second_group;
pub mod second_path;
pub mod serial_cable;
pub mod tape;
pub mod terminal;
pub mod tool;
pub mod verify;
pub mod wizard;
