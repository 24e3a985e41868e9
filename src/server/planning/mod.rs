//! `/plan`: what the plan of the model's memory is, and what it would be with other options.
//!
//! The daemon gives the server a function for it, the [`Planner`]. `page` answers requests.

mod page;
mod planner;

pub(super) use page::{PLAN_PARAMETERS, plan_page};
pub use planner::Planner;
