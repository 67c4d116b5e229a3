//! What the fuzz targets do with an input, as plain functions: libFuzzer calls them with what it finds, the tests with
//! what a seed makes of the committed inputs. An input in which something is wrong makes them panic.

mod choices;
mod decode;
mod http_request;
mod lock_programs;
mod oracle;
#[cfg(test)]
mod seeded;
mod server;
mod stdio_lines;
mod tool_arguments;

pub use decode::decode;
pub use http_request::http_request;
pub use lock_programs::lock_programs;
pub use stdio_lines::stdio_lines;
pub use tool_arguments::tool_arguments;
