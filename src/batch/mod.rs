//! Very many files: nothing lost, nothing twice, one bad file costs one row.
//!
//! ```text
//! sources ──► list ──► journal ──► run ──► pool of worker processes
//!                         ▲         │
//!                         └─────────┴──► rows, as they come ──► finish: the output, in the order of the list
//! ```
//!
//! * [`list`] finds the inputs and says in which order they are.
//! * [`journal`] remembers on disk what is to be done and what is done, so that a run that was killed goes on.
//! * [`pool`] keeps worker processes: a decoder that crashes, hangs or eats all memory takes one worker with it and costs
//!   one file. [`worker`] is what they do, [`protocol`] what they are told and say.
//! * [`run`] gives them work and writes down the rows; [`finish`] makes the output of those. [`watch`] does so for a directory
//!   to which files are added.

mod begin;
pub mod disk;
pub mod finish;
pub mod journal;
pub mod list;
mod log;
pub mod pool;
pub mod protocol;
pub mod run;
pub mod watch;
pub mod worker;
