//! What a run reports on its way.

/// What a run reports while it goes.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A temporal step of a video has become tokens.
    #[non_exhaustive]
    Looked {
        /// Steps so far.
        steps: usize,
        /// All of them.
        of: usize,
    },
    /// The prompt is laid out; its prefill begins.
    #[non_exhaustive]
    Laid {
        /// Tokens of the prompt.
        tokens: usize,
        /// Those of them that are video.
        video: usize,
    },
    /// The prompt is prefilled.
    #[non_exhaustive]
    Prefilled {
        /// Tokens that all blocks behind the selection see.
        tokens: usize,
        /// Those of them that are video.
        video: usize,
        /// Bytes of keys and values.
        cache: u64,
    },
    /// A token of the answer.
    #[non_exhaustive]
    Token {
        /// Its id.
        id: u32,
        /// What it adds to the text; empty where a character is not whole yet, or may belong to a text that ends the answer.
        text: String,
    },
    /// The answer is whole.
    #[non_exhaustive]
    Ended {
        /// What of its text no token had brought yet, since it might have been the beginning of a text that ends it.
        rest: String,
    },
}
