//! Random lock programs: made from a seed (`plan`), run (`run`) in a `world` that checks them.

pub(crate) mod plan;
pub(crate) mod random;
pub(crate) mod run;
pub(crate) mod world;
