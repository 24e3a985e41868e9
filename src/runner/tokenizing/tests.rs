//! Prompts whose tokenizing waits for the test.

use std::sync::{Condvar, Mutex};

use tokio::time::timeout;

use crate::domain::{AccountId, AnswerStyle, ConnectionId, Conversation, Params, Token};
use crate::engine::{ChatTokens, Engine, Limits, Loaded, Options, Piece, PromptLimit, Vocabulary};
use crate::scripted::{ScriptedModel, ScriptedVocabulary, StepControl};

use super::*;

/// A vocabulary that tokenizes a text which begins with `wait` when the test lets it, or until its
/// request is cancelled. One that begins with `panic` makes it panic.
#[derive(Default)]
struct HeldVocabulary {
    state: Mutex<Held>,
    changed: Condvar,
}

#[derive(Default)]
struct Held {
    is_released: bool,
    n_started: usize,
    n_cancelled: usize,
}

impl HeldVocabulary {
    fn release(&self) {
        self.state.lock().unwrap().is_released = true;
        self.changed.notify_all();
    }

    /// Waits until the state is as wanted.
    fn wait_until(&self, is_wanted: impl Fn(&Held) -> bool) {
        let held = self.state.lock().unwrap();
        let waited = self.changed.wait_timeout_while(held, DEADLINE, |held| !is_wanted(held));
        assert!(!waited.unwrap().1.timed_out(), "the vocabulary gets there in time");
    }
}

impl Vocabulary for HeldVocabulary {
    fn tokenize(&self, text: &str, limit: &PromptLimit) -> Result<Vec<Token>, Refusal> {
        assert!(!text.starts_with("panic"), "expected by the test");
        if text.starts_with("wait") {
            let mut held = self.state.lock().unwrap();
            held.n_started += 1;
            self.changed.notify_all();
            while !held.is_released {
                if let Err(refusal) = limit.check() {
                    held.n_cancelled += 1;
                    self.changed.notify_all();
                    return Err(refusal);
                }
                held = self.changed.wait_timeout(held, Duration::from_millis(1)).unwrap().0;
            }
        }
        ScriptedVocabulary.tokenize(text, limit)
    }

    fn tokenize_chat(
        &self,
        conversation: &Conversation,
        limit: &PromptLimit,
    ) -> Result<ChatTokens, Refusal> {
        ScriptedVocabulary.tokenize_chat(conversation, limit)
    }

    fn answer_style(&self) -> AnswerStyle {
        AnswerStyle::default()
    }

    fn chat_problem(&self) -> Option<&str> {
        None
    }

    fn piece(&self, token: Token) -> Piece<'_> {
        ScriptedVocabulary.piece(token)
    }

    fn is_end(&self, token: Token) -> bool {
        ScriptedVocabulary.is_end(token)
    }

    fn n_tokens(&self) -> usize {
        ScriptedVocabulary.n_tokens()
    }

    fn longest_piece(&self) -> usize {
        ScriptedVocabulary.longest_piece()
    }
}

struct Rig {
    vocabulary: Arc<HeldVocabulary>,
    tokenizing: Tokenizing,
    answered: mpsc::Receiver<Answer>,
    engine: Engine<()>,
}

impl Rig {
    async fn new() -> Self {
        let vocabulary = Arc::<HeldVocabulary>::default();
        let for_load = vocabulary.clone();
        let options = Options { ctx_size: 1 << 20, ..Options::default() };
        let mut engine = Engine::spawn(options, move |_| {
            let limits = Limits { n_ubatch: 8, n_slots: 1, slot_tokens: 1 << 20, n_draft: 0 };
            let model = ScriptedModel::new(limits, StepControl::free_running());
            Ok(Loaded { model, vocabulary: for_load })
        })
        .unwrap();
        (&mut engine.loaded).await.unwrap();
        let started = Tokenizing::start(engine.handle.clone(), Arc::default());
        let (tokenizing, answered) = started.unwrap();
        Self { vocabulary, tokenizing, answered, engine }
    }

    /// Submits a prompt of a connection of its own.
    fn submit(&mut self, key: RequestKey, prompt: &str) {
        let request = Request {
            connection: ConnectionId(key),
            account: AccountId(key),
            prompt: Prompt::Text(prompt.to_owned()),
            params: Params::default(),
        };
        let age = Duration::ZERO;
        let frame = SubmitFrame { key, request, age, is_first: true, was_accepted: false };
        self.tokenizing.submit(frame).unwrap();
    }

    /// The next answer, if somebody waits for it.
    async fn answer(&mut self) -> Answer {
        loop {
            let answer = timeout(DEADLINE, self.answered.recv()).await.unwrap().unwrap();
            if self.tokenizing.finish(answer.0) {
                return answer;
            }
        }
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.vocabulary.release();
        self.engine.handle.stop();
    }
}

/// A prompt that waits for the test, and for which no thread is reserved.
fn long_prompt() -> String {
    "wait".repeat(10_000)
}

#[tokio::test]
async fn short_prompt_is_tokenized_while_long_ones_occupy_the_other_threads() {
    let mut rig = Rig::new().await;
    for key in 0..4 {
        rig.submit(key, &long_prompt());
    }
    rig.submit(9, "short");
    assert_eq!(rig.answer().await.0, 9);
    rig.vocabulary.wait_until(|held| held.n_started == POOL.n_threads);
    // The short request may still wait for its slot, before them.
    let [(2, first), (3, second)] = rig.tokenizing.changed_positions(Duration::ZERO)[..] else {
        panic!("two requests wait")
    };
    assert!(first >= 1 && second == first + 1, "{first}, {second}");
    rig.vocabulary.release();
    let mut keys = Vec::new();
    for _ in 0..4 {
        keys.push(rig.answer().await.0);
    }
    keys.sort_unstable();
    assert_eq!(keys, [0, 1, 2, 3]);
    assert!(rig.tokenizing.is_empty());
}

#[tokio::test]
async fn cancelled_request_ends_the_work_on_its_prompt() {
    let mut rig = Rig::new().await;
    for key in 0..3 {
        rig.submit(key, &long_prompt());
    }
    rig.vocabulary.wait_until(|held| held.n_started == POOL.n_threads);
    for key in 0..3 {
        assert!(rig.tokenizing.cancel(key).is_some(), "{key}");
        assert!(rig.tokenizing.cancel(key).is_none(), "{key}");
    }
    rig.vocabulary.wait_until(|held| held.n_cancelled == POOL.n_threads);
    assert_eq!(rig.tokenizing.n_waiting(), 0);
    rig.submit(9, "short");
    assert_eq!(rig.answer().await.0, 9);
}

#[tokio::test]
async fn panic_in_the_tokenizer_refuses_its_request_only() {
    let mut rig = Rig::new().await;
    for key in 0..6 {
        rig.submit(key, "panic");
        let (refused, result) = rig.answer().await;
        assert_eq!(refused, key);
        assert!(matches!(result, Err(Refusal::NotTokenized { .. })), "{:?}", result.err());
    }
    rig.submit(9, "short");
    assert!(rig.answer().await.1.is_ok());
}

/// A time limit that only turns a hang into a failure.
const DEADLINE: Duration = Duration::from_secs(60);
