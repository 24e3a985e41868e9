//! The model that the daemon serves, and the runners that serve it one after another.
//!
//! A [`Supervisor`] starts a runner, connects it to the [`Client`](crate::runner::Client) that the
//! server uses, and watches it. When a runner ends or makes no progress, the supervisor starts the
//! next one. `restart` decides when.

mod restart;
mod supervisor;

pub use supervisor::{Supervisor, SupervisorError, SupervisorOptions};
