//! What the fuzz targets do with an input, as plain functions: libFuzzer calls them with what it finds, the tests with
//! what a seed makes of the committed inputs. An input in which something is wrong makes them panic.

mod decode;
mod oracle;
#[cfg(test)]
mod seeded;

pub use decode::decode;
