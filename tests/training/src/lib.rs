//! Makes the demo's model: log lines with answers, a tokenizer, training with
//! burn's autodiff, evaluation, and the baselines that the model must beat.
//! Not part of the product: nothing at run time depends on it.

pub mod baseline;
pub mod catalog;
pub mod checkpoint;
pub mod evaluate;
pub mod generate;
pub mod noise;
pub mod random;
pub mod recipe;
pub mod train;
pub mod vocabulary;
mod wild;
mod writer;
