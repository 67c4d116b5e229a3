//! Tools: how they are written, described, checked, and what is around them.

mod attributes;
mod description;
mod direct;
mod layers;
mod schemas;
