//! Tests of the scheduler on the scripted model, with a clock that the tests advance.
//!
//! The scripted model checks positions, tokens and the size of the KV cache in every step, so each
//! test also checks that.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::*;
use crate::domain::{
    AccountId, ConnectionId, Delivery, Failure, FinishReason, Histograms, Outcome, Params, Prompt,
    Refusal, Request, Speculation, Token, Usage,
};
use crate::engine::model::CancelFlag;
use crate::engine::request::{Notifier, Outbox};
use crate::scripted::{ScriptedDraft, ScriptedModel, ScriptedVocabulary, StepControl};

use self::rig::{Client, GRACE, Rig, at_most};

mod rig;

mod caching;
mod constraints;
mod delivery;
mod drafting;
mod partial_caches;
mod prefill;
mod prefixes;
mod random;
mod requests;
mod suspension;
mod turns;
