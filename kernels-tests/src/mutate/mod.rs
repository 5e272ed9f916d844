//! Mutation testing: would a kernel's cases notice a slip of the hand?
//!
//! Small edits are made one at a time: in each WGSL file that a kernel's variants are composed of ([`edits`]), and in what
//! its host file hands over ([`change`]). Each mutant runs through the same code as every numerical test, on the runs that
//! the suite itself makes ([`plan`]), until a case shows wrong numbers. What no case shows is a gap in the cases, or means
//! the same as what it replaced; the second kind is listed with its reason ([`explained`]).
//!
//! Mutants run in processes of their own ([`worker`], [`pool`]), results are kept one by one ([`record`]), and a second run
//! repeats nothing that is still true ([`session`]).

pub mod change;
pub mod edits;
pub mod explained;
mod expressions;
pub mod mutants;
pub mod plan;
pub mod pool;
pub mod program;
pub mod progress;
pub mod record;
pub mod report;
pub mod session;
pub mod syntax;
pub mod tokens;
pub mod worker;
