//! The requests and notifications of a client, by the names of their methods.
//!
//! rmcp reads a message by trying each of its types until one fits; here the name decides, and what does not fit that type
//! is the client's error.
#![expect(deprecated, reason = "revisions with sessions still have these methods")]

use freehold_mcp::freehold::ErrorObject;
use rmcp::model::{
    CallToolRequest, CancelTaskRequest, CancelledNotification, ClientNotification, ClientRequest,
    CompleteRequest, DiscoverRequest, GetPromptRequest, GetSkillRequest, GetTaskRequest, InitializeRequest,
    InitializedNotification, ListPromptsRequest, ListResourceTemplatesRequest, ListResourcesRequest,
    ListSkillsRequest, ListToolsRequest, ProgressNotification, ReadResourceDirectoryRequest,
    ReadResourceRequest, RootsListChangedNotification, SetLevelRequest, SubscribeRequest,
    SubscriptionsListenRequest, UnsubscribeRequest, UpdateTaskRequest,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;

/// The names that the adapter itself looks at.
pub(crate) mod method {
    pub(crate) const LISTEN: &str = "subscriptions/listen";
    pub(crate) const DISCOVER: &str = "server/discover";
    pub(crate) const NOTIFICATIONS: &str = "notifications/";
}

macro_rules! messages {
    ($list:ident, $read:ident -> $union:ident else $other:ident: $($name:literal => $variant:ident($type:ty), $asks:ident;)*) => {
        /// The methods, and the method of `ServerHandler` that each one asks.
        pub(crate) const $list: &[(&str, &str)] = &[$(($name, stringify!($asks))),*];

        /// Reads the message with this method.
        pub(crate) fn $read(method: &str, params: Option<&RawValue>) -> Result<$union, ErrorObject> {
            Ok(match method {
                $($name => $union::$variant(read::<$type>(method, params)?),)*
                _ => $union::$other(read(method, params)?),
            })
        }
    };
}

messages! {
    REQUESTS, read_request -> ClientRequest else CustomRequest:
    "initialize" => InitializeRequest(InitializeRequest), initialize;
    "server/discover" => DiscoverRequest(DiscoverRequest), discover;
    "completion/complete" => CompleteRequest(CompleteRequest), complete;
    "logging/setLevel" => SetLevelRequest(SetLevelRequest), set_level;
    "prompts/get" => GetPromptRequest(GetPromptRequest), get_prompt;
    "prompts/list" => ListPromptsRequest(ListPromptsRequest), list_prompts;
    "resources/list" => ListResourcesRequest(ListResourcesRequest), list_resources;
    "resources/templates/list" => ListResourceTemplatesRequest(ListResourceTemplatesRequest), list_resource_templates;
    "resources/read" => ReadResourceRequest(ReadResourceRequest), read_resource;
    "resources/subscribe" => SubscribeRequest(SubscribeRequest), subscribe;
    "resources/unsubscribe" => UnsubscribeRequest(UnsubscribeRequest), unsubscribe;
    "resources/directory/read" => ReadResourceDirectoryRequest(ReadResourceDirectoryRequest), read_resource_directory;
    "subscriptions/listen" => SubscriptionsListenRequest(SubscriptionsListenRequest), listen;
    "tools/call" => CallToolRequest(CallToolRequest), call_tool;
    "tools/list" => ListToolsRequest(ListToolsRequest), list_tools;
    "tasks/get" => GetTaskRequest(GetTaskRequest), get_task;
    "tasks/update" => UpdateTaskRequest(UpdateTaskRequest), update_task;
    "tasks/cancel" => CancelTaskRequest(CancelTaskRequest), cancel_task;
    "skills/list" => ListSkillsRequest(ListSkillsRequest), list_skills;
    "skills/get" => GetSkillRequest(GetSkillRequest), get_skill;
}

messages! {
    NOTIFICATIONS, read_notification -> ClientNotification else CustomNotification:
    "notifications/cancelled" => CancelledNotification(CancelledNotification), on_cancelled;
    "notifications/progress" => ProgressNotification(ProgressNotification), on_progress;
    "notifications/initialized" => InitializedNotification(InitializedNotification), on_initialized;
    "notifications/roots/list_changed" => RootsListChangedNotification(RootsListChangedNotification), on_roots_list_changed;
}

#[derive(Serialize)]
struct Message<'a> {
    method: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    params: Option<&'a RawValue>,
}

fn read<T: DeserializeOwned>(method: &str, params: Option<&RawValue>) -> Result<T, ErrorObject> {
    let text = serde_json::to_string(&Message { method, params }).map_err(ErrorObject::invalid_params)?;
    let read = serde_json::from_str(&text);
    // Params may be left out where none are required; some types of rmcp want an empty object instead.
    let read = if params.is_some() { read } else { read.or_else(|error| read_without(method).ok_or(error)) };
    read.map_err(ErrorObject::invalid_params)
}

fn read_without<T: DeserializeOwned>(method: &str) -> Option<T> {
    let empty = RawValue::from_string("{}".to_owned()).ok()?;
    let text = serde_json::to_string(&Message { method, params: Some(&empty) }).ok()?;
    serde_json::from_str(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::{NOTIFICATIONS, REQUESTS, read_notification, read_request};
    use rmcp::model::{ClientNotification, ClientRequest, GetMeta};
    use serde_json::{json, value::to_raw_value};

    #[test]
    fn every_request_is_read_as_what_it_is() {
        // What satisfies all of them at once.
        let params = to_raw_value(&json!({
            "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "c", "version": "1" },
            "ref": { "type": "ref/prompt", "name": "p" }, "argument": { "name": "a", "value": "b" },
            "level": "info", "name": "n", "uri": "skill://a/SKILL.md", "notifications": {}, "taskId": "t",
            "inputResponses": {}, "_meta": { "progressToken": 7 },
        }))
        .unwrap();
        for (method, _) in REQUESTS {
            let request =
                read_request(method, Some(&params)).unwrap_or_else(|error| panic!("{method}: {error}"));
            assert!(!matches!(request, ClientRequest::CustomRequest(_)), "{method} is known");
            assert_eq!(request.method(), *method);
            assert!(request.get_meta().get_progress_token().is_some(), "{method} keeps its _meta");
        }
        assert!(matches!(read_request("acme/sum", Some(&params)), Ok(ClientRequest::CustomRequest(_))));
    }

    #[test]
    fn lists_need_no_params() {
        for method in
            ["tools/list", "prompts/list", "resources/list", "resources/templates/list", "server/discover"]
        {
            read_request(method, None).unwrap_or_else(|error| panic!("{method}: {error}"));
        }
    }

    #[test]
    fn params_that_do_not_fit_are_the_clients_error() {
        let params = to_raw_value(&json!({ "arguments": {} })).unwrap();
        let error = read_request("tools/call", Some(&params)).expect_err("it names no tool");
        assert_eq!(error.code, freehold_mcp::freehold::ErrorCode::INVALID_PARAMS);
    }

    #[test]
    fn every_notification_is_read_as_what_it_is() {
        let params = to_raw_value(&json!({ "requestId": 1, "progressToken": 1, "progress": 2.0 })).unwrap();
        for (method, _) in NOTIFICATIONS {
            let read =
                read_notification(method, Some(&params)).unwrap_or_else(|error| panic!("{method}: {error}"));
            assert!(!matches!(read, ClientNotification::CustomNotification(_)), "{method} is known");
        }
    }
}
