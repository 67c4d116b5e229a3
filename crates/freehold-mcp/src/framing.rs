//! Messages as both transports put them on the wire: on one line, and without an `id` where none could be read.

use bytes::Bytes;
use freehold::Response;
use memchr::memchr2;

/// The encoded message on one line. A line break in JSON is white space between tokens (in strings it is escaped), as
/// it may stand in a result that was written by hand, so a blank says the same.
pub(crate) fn one_line(message: Bytes) -> Bytes {
    if memchr2(b'\n', b'\r', &message).is_none() {
        return message;
    }
    message.iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte }).collect()
}

/// The encoded answer. The protocol leaves an unreadable id out where JSON-RPC writes `null`.
pub(crate) fn encode(response: &Response<'_>) -> Vec<u8> {
    match (&response.id, &response.result) {
        (None, Err(error)) => {
            let mut out = br#"{"jsonrpc":"2.0","error":"#.to_vec();
            // An error object always serializes, and writing to a Vec cannot fail.
            let _ = serde_json::to_writer(&mut out, error);
            out.push(b'}');
            out
        }
        _ => response.encode(),
    }
}

#[cfg(test)]
mod tests {
    use super::{encode, one_line};
    use bytes::Bytes;
    use freehold::{ErrorCode, ErrorObject, Response};

    #[test]
    fn line_breaks_become_blanks() {
        assert_eq!(one_line(Bytes::from_static(b"{\n\"a\":\r\n\"b\\n\"}")), &b"{ \"a\":  \"b\\n\"}"[..]);
    }

    #[test]
    fn an_unreadable_id_is_left_out() {
        let response = Response::error(None, ErrorObject::new(ErrorCode::PARSE_ERROR, "no"));
        assert_eq!(encode(&response), br#"{"jsonrpc":"2.0","error":{"code":-32700,"message":"no"}}"#);
    }
}
