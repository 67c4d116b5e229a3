//! Load generator and measurements of Freehold over HTTP; the programs are in `src/bin`, the manual in `README.md`.

pub mod callgrind;
pub mod cpu_time;
pub mod designs;
pub mod echo_engine;
pub mod event_stream;
pub mod figures;
pub mod flame_graph;
pub mod http_client;
pub mod load;
pub mod machine;
pub mod mcp_answers;
pub mod mcp_connection;
pub mod mcp_requests;
pub mod memory;
pub mod open_files;
pub mod pinning;
pub mod report;
pub mod results;
pub mod run;
pub mod server_binaries;
pub mod server_process;
pub mod stats;
pub mod sync;
pub mod table;
pub mod verdicts;
pub mod wait_profile;
