#![expect(deprecated, reason = "revisions with sessions still have these methods")]

use super::{Guard, Input, Told, watch::Watched};
use rmcp::{
    RoleServer, ServerHandler,
    model::{
        CallToolRequestParams, CallToolResponse, CancelTaskParams, CancelledNotificationParam,
        CompleteRequestParams, CompleteResult, CustomNotification, CustomRequest, CustomResult,
        DiscoverResult, ErrorData, GetPromptRequestParams, GetPromptResponse, GetSkillRequestParams,
        GetSkillResult, GetTaskParams, GetTaskResult, InitializeRequestParams, InitializeResult,
        ListPromptsResult, ListResourceTemplatesResult, ListResourcesResult, ListSkillsResult,
        ListToolsResult, PaginatedRequestParams, ProgressNotificationParam, ProtocolVersion,
        ReadResourceDirectoryRequestParams, ReadResourceDirectoryResult, ReadResourceRequestParams,
        ReadResourceResponse, ServerConfig, SetLevelRequestParams, SubscribeRequestParams,
        SubscriptionFilter, Tool, UnsubscribeRequestParams, UpdateTaskParams,
    },
    service::{NotificationContext, RequestContext, SubscriptionContext},
    transport::{IntoTransport, Transport},
};
use std::{borrow::Cow, error::Error, fmt};
use tokio_util::sync::CancellationToken;

/// A handler whose requests are bounded: each has a deadline, its panic is an error answer, no more run at the same time
/// than its [`Guard`] lets, and one that was cancelled, or whose client's input has ended, ends soon.
///
/// It is a [`ServerHandler`] like the one inside, for rmcp's own transports.
pub struct Guarded<H> {
    handler: H,
    guard: Guard,
    input: Input,
}

impl<H> fmt::Debug for Guarded<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guarded").field("guard", &self.guard).finish_non_exhaustive()
    }
}

impl<H: ServerHandler> Guarded<H> {
    pub(super) fn new(handler: H, guard: Guard) -> Self {
        Self { handler, guard, input: Input::default() }
    }

    /// The handler inside.
    #[must_use]
    pub fn handler(&self) -> &H {
        &self.handler
    }

    /// Watches a transport that this handler will be served on, and on no other: when its input has ended, requests have
    /// [`GuardOptions::after_input`](super::GuardOptions::after_input) to finish, so that rmcp, which waits five seconds for
    /// them, ends earlier.
    pub fn watch<T, E, A>(&self, transport: T) -> impl Transport<RoleServer, Error = E> + 'static
    where
        T: IntoTransport<RoleServer, E, A>,
        E: Error + Send + Sync + 'static,
    {
        Watched { transport: transport.into_transport(), input: self.input.clone() }
    }

    fn told(&self, token: &CancellationToken) -> Told {
        Told { token: token.clone(), input: self.input.clone() }
    }
}

macro_rules! guarded {
    (
        at_once { $($at_once:ident($($arg:ident: $type:ty),*) -> $given:ty;)* }
        about_nothing { $($simple:ident -> $simple_result:ty;)* }
        requests { $($request:ident($params:ty) -> $result:ty;)* }
        notifications { $($notification:ident($told:ty);)* }
        own { $($own:ident($self:ident, $($own_arg:ident: $own_type:ty),*) -> $own_result:ty $body:block)* }
    ) => {
        /// The methods of `ServerHandler` that a guard passes on.
        #[cfg(test)]
        pub(crate) const DELEGATED: &[&str] = &[
            $(stringify!($at_once),)* $(stringify!($simple),)* $(stringify!($request),)*
            $(stringify!($notification),)* $(stringify!($own),)*
        ];

        impl<H: ServerHandler> ServerHandler for Guarded<H> {
            $(fn $at_once(&self, $($arg: $type),*) -> $given {
                self.handler.$at_once($($arg),*)
            })*

            $(async fn $simple(&self, context: RequestContext<RoleServer>) -> Result<$simple_result, ErrorData> {
                let told = self.told(&context.ct);
                let handling = async move { self.handler.$simple(context).await };
                self.guard.request(stringify!($simple), &told, handling).await
            })*

            $(async fn $request(
                &self,
                request: $params,
                context: RequestContext<RoleServer>,
            ) -> Result<$result, ErrorData> {
                let told = self.told(&context.ct);
                let handling = async move { self.handler.$request(request, context).await };
                self.guard.request(stringify!($request), &told, handling).await
            })*

            $(async fn $notification(&self, notification: $told, context: NotificationContext<RoleServer>) {
                let handling = async move { self.handler.$notification(notification, context).await };
                self.guard.notification(stringify!($notification), handling).await;
            })*

            $(async fn $own(&$self, $($own_arg: $own_type),*) -> $own_result $body)*
        }
    };
}

guarded! {
    at_once {
        negotiate_initialize(request: &InitializeRequestParams) -> Result<InitializeResult, ErrorData>;
        supported_protocol_versions() -> Cow<'static, [ProtocolVersion]>;
        accepted_subscription_filter(requested: &SubscriptionFilter) -> Option<SubscriptionFilter>;
        get_tool(name: &str) -> Option<Tool>;
        get_info() -> ServerConfig;
    }
    about_nothing {
        ping -> ();
        discover -> DiscoverResult;
    }
    requests {
        initialize(InitializeRequestParams) -> InitializeResult;
        complete(CompleteRequestParams) -> CompleteResult;
        set_level(SetLevelRequestParams) -> ();
        get_prompt(GetPromptRequestParams) -> GetPromptResponse;
        list_prompts(Option<PaginatedRequestParams>) -> ListPromptsResult;
        list_resources(Option<PaginatedRequestParams>) -> ListResourcesResult;
        list_resource_templates(Option<PaginatedRequestParams>) -> ListResourceTemplatesResult;
        read_resource(ReadResourceRequestParams) -> ReadResourceResponse;
        subscribe(SubscribeRequestParams) -> ();
        unsubscribe(UnsubscribeRequestParams) -> ();
        call_tool(CallToolRequestParams) -> CallToolResponse;
        list_tools(Option<PaginatedRequestParams>) -> ListToolsResult;
        on_custom_request(CustomRequest) -> CustomResult;
        get_task(GetTaskParams) -> GetTaskResult;
        update_task(UpdateTaskParams) -> ();
        cancel_task(CancelTaskParams) -> ();
        list_skills(Option<PaginatedRequestParams>) -> ListSkillsResult;
        get_skill(GetSkillRequestParams) -> GetSkillResult;
        read_resource_directory(ReadResourceDirectoryRequestParams) -> ReadResourceDirectoryResult;
    }
    notifications {
        on_cancelled(CancelledNotificationParam);
        on_progress(ProgressNotificationParam);
        on_custom_notification(CustomNotification);
    }
    own {
        on_initialized(self, context: NotificationContext<RoleServer>) -> () {
            let handling = async move { self.handler.on_initialized(context).await };
            self.guard.notification("on_initialized", handling).await;
        }
        on_roots_list_changed(self, context: NotificationContext<RoleServer>) -> () {
            let handling = async move { self.handler.on_roots_list_changed(context).await };
            self.guard.notification("on_roots_list_changed", handling).await;
        }
        listen(self, context: SubscriptionContext) -> Result<(), ErrorData> {
            // It ends with its client, so it has neither a deadline nor one of the places of those that run.
            let told = self.told(&context.request_context().ct);
            let handling = async move { self.handler.listen(context).await };
            self.guard.bounded("listen", &told, None, handling).await
        }
    }
}
