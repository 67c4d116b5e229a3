//! What only operators see, answered in the reader: so also while all slots, queues and turns are taken by calls that are
//! stuck.
//!
//! Nothing here is a call. It takes no slot, no turn and no lock of the application, so it can be in no ring and behind no
//! queue; the price is that whoever writes it must be quick. To those who are no operators it does not exist: their lists
//! do not have it, and their requests go on to the methods, which know nothing of it.

mod asker;
mod desk;

pub use asker::Asker;
pub(crate) use asker::OverStdio;
pub(crate) use desk::Desk;

use crate::{
    offer::RegisterError,
    resources::{ResourceTable, is_uri},
    server::BuildServerError,
    tools::{
        AddToolError, DuplicateTool, InvalidTool, SchemaError, ToolError, ToolOutput, ToolTable, check_name,
        input_schema_of,
    },
};
use freehold::{Engine, State};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::{Value, json, value::RawValue};
use std::fmt;

/// Tools and resources for operators only, such as an agent that is to find out why a server is stuck: they answer at once,
/// whatever other calls do, also when all slots are taken and while the server drains.
///
/// Their functions are synchronous and run in the reader of the connection, which waits for them: they must be quick, and
/// wait for nothing. They get the engine, and what they return goes out as it stands. The predicate runs for each request
/// for one of them, and for each list; it should look at what the transport made sure of, never at what a request says.
///
/// # Examples
///
/// ```
/// use freehold_mcp::{McpServer, Operators};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let operators = Operators::new(|asker| {
///     asker.is_on_stdio() || asker.principal().is_some_and(|principal| principal.scopes.contains("operate"))
/// })
/// .tool("running", "How many calls run.", |engine, (): ()| engine.call_count().to_string())
/// .resource("server://counters", "counters", "What was counted.", "text/plain", |engine| {
///     format!("{:?}", engine.counters())
/// });
/// let server = McpServer::builder("watched", "1.0.0").operators(operators).build()?;
/// # Ok(()) }
/// ```
#[must_use = "it is to be given to McpServerBuilder::operators"]
pub struct Operators<S: State = ()> {
    may: Box<dyn Fn(&Asker<'_>) -> bool + Send + Sync>,
    tools: Vec<OperatorTool<S>>,
    resources: Vec<OperatorResource<S>>,
    families: Vec<Family<S>>,
    flaw: Option<InvalidTool>,
}

type RunTool<S> =
    Box<dyn Fn(&Engine<S>, &RawValue) -> Result<crate::CallToolResult, ToolError> + Send + Sync>;

type Read<S> = Box<dyn Fn(&Engine<S>) -> String + Send + Sync>;
type ReadOneOf<S> = Box<dyn Fn(&Engine<S>, &str) -> Option<String> + Send + Sync>;

struct OperatorTool<S: State> {
    name: String,
    shown: Value,
    run: RunTool<S>,
}

struct OperatorResource<S: State> {
    uri: String,
    mime_type: String,
    shown: Value,
    read: Read<S>,
}

/// Resources whose URIs differ in their end.
struct Family<S: State> {
    prefix: String,
    mime_type: String,
    shown: Value,
    read: ReadOneOf<S>,
}

impl<S: State> Operators<S> {
    /// Nothing yet, for those of whom `may` says so.
    pub fn new(may: impl Fn(&Asker<'_>) -> bool + Send + Sync + 'static) -> Self {
        Self {
            may: Box::new(may),
            tools: Vec::new(),
            resources: Vec::new(),
            families: Vec::new(),
            flaw: None,
        }
    }

    /// Adds a tool. It is told to be read-only, since it can be asked at any time.
    pub fn tool<A, R>(
        mut self,
        name: &str,
        description: &str,
        run: impl Fn(&Engine<S>, A) -> R + Send + Sync + 'static,
    ) -> Self
    where
        A: DeserializeOwned + JsonSchema,
        R: ToolOutput,
    {
        let schema = input_schema_of::<A>();
        let flawed = |reason: SchemaError| InvalidTool::InputSchema { tool: name.to_owned(), reason };
        let flaw = check_name(name).map_err(InvalidTool::Name).err();
        let flaw = flaw.or_else(|| schema.as_ref().err().cloned().map(flawed));
        self.flaw = self.flaw.or(flaw);
        let mut shown = json!({
            "name": name,
            "description": description,
            "inputSchema": schema.unwrap_or_default(),
            "annotations": { "readOnlyHint": true, "openWorldHint": false },
        });
        if let Some(schema) = R::output_schema() {
            shown["outputSchema"] = schema;
        }
        let run: RunTool<S> = Box::new(move |engine, arguments| {
            let arguments = read_arguments(arguments.get()).map_err(|error| {
                ToolError::new(format_args!("the arguments do not fit the tool's schema: {error}"))
            })?;
            run(engine, arguments).into_result()
        });
        self.tools.push(OperatorTool { name: name.to_owned(), shown, run });
        self
    }

    /// Adds a resource that is a text.
    pub fn resource(
        mut self,
        uri: &str,
        name: &str,
        description: &str,
        mime_type: &str,
        read: impl Fn(&Engine<S>) -> String + Send + Sync + 'static,
    ) -> Self {
        let shown = json!({ "uri": uri, "name": name, "description": description, "mimeType": mime_type });
        let (uri, mime_type) = (uri.to_owned(), mime_type.to_owned());
        self.resources.push(OperatorResource { uri, mime_type, shown, read: Box::new(read) });
        self
    }

    /// Adds the resources whose URIs begin with `prefix`, each a text; clients see the template `prefix{variable}`. `read` gets
    /// what follows the prefix, and returns nothing where there is none.
    pub fn resources_under(
        mut self,
        prefix: &str,
        variable: &str,
        name: &str,
        description: &str,
        mime_type: &str,
        read: impl Fn(&Engine<S>, &str) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        let template = format!("{prefix}{{{variable}}}");
        let shown = json!({
            "uriTemplate": template, "name": name, "description": description, "mimeType": mime_type,
        });
        let (prefix, mime_type) = (prefix.to_owned(), mime_type.to_owned());
        self.families.push(Family { prefix, mime_type, shown, read: Box::new(read) });
        self
    }

    pub(crate) fn has_resources(&self) -> bool {
        !self.resources.is_empty() || !self.families.is_empty()
    }

    /// Itself, unless it cannot be served beside these.
    pub(crate) fn checked(
        mut self,
        tools: &ToolTable<S>,
        resources: &ResourceTable<S>,
    ) -> Result<Self, BuildServerError> {
        if let Some(flaw) = self.flaw.take() {
            return Err(AddToolError::from(flaw).into());
        }
        let twice = |name: &str| self.tools.iter().filter(|tool| tool.name == name).count() > 1;
        if let Some(tool) = self.tools.iter().find(|t| twice(&t.name) || tools.find(&t.name).is_some()) {
            return Err(AddToolError::from(DuplicateTool(tool.name.clone())).into());
        }
        let prefixes = self.families.iter().map(|family| format!("{}x", family.prefix));
        let uris = self.resources.iter().map(|resource| resource.uri.clone());
        for uri in uris.chain(prefixes) {
            if !is_uri(&uri) {
                return Err(RegisterError::InvalidUri(uri).into());
            }
            let own = self.resources.iter().filter(|resource| resource.uri == uri).count();
            if own > 1 || resources.knows(&uri) {
                return Err(RegisterError::Duplicate { kind: "resource", name: uri }.into());
            }
        }
        Ok(self)
    }
}

/// Absent arguments fit a type without fields.
fn read_arguments<A: DeserializeOwned>(arguments: &str) -> Result<A, serde_json::Error> {
    serde_json::from_str(arguments).or_else(|error| {
        let empty = arguments == "{}";
        if empty { serde_json::from_str("null").map_err(|_| error) } else { Err(error) }
    })
}

impl<S: State> fmt::Debug for Operators<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tools: Vec<_> = self.tools.iter().map(|tool| &tool.name).collect();
        f.debug_struct("Operators").field("tools", &tools).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::Operators;
    use crate::{
        BuildServerError, McpServer, RegisterError, Resource, Tool, ToolContext, ToolError,
        tools::AddToolError,
    };

    fn built(operators: Operators) -> Result<(), BuildServerError> {
        async fn run(_: &ToolContext, (): ()) -> Result<&'static str, ToolError> {
            Ok("run")
        }
        McpServer::builder("test", "1.0.0")
            .tool(Tool::new("ordinary", "One of those that all see.", run))
            .resource(Resource::text("test://ordinary", "ordinary", "One that all see.", "text"))
            .operators(operators)
            .build()
            .map(|_| ())
    }

    fn tool(operators: Operators, name: &str) -> Operators {
        operators.tool(name, "Says nothing.", |_, (): ()| ())
    }

    fn resource(operators: Operators, uri: &str) -> Operators {
        operators.resource(uri, "r", "A resource.", "text/plain", |_| String::new())
    }

    #[test]
    fn what_could_not_be_told_from_others_is_refused() {
        let none = || Operators::new(|_| true);
        assert_eq!(built(resource(tool(none(), "own"), "test://own")), Ok(()));
        for names in [&["ordinary"][..], &["own", "own"]] {
            let built = built(names.iter().fold(none(), |operators, name| tool(operators, name)));
            assert!(matches!(built, Err(BuildServerError::Tool(AddToolError::Duplicate(_)))), "{built:?}");
        }
        let wrong = built(tool(none(), "two words"));
        assert!(matches!(wrong, Err(BuildServerError::Tool(AddToolError::Invalid(_)))), "{wrong:?}");
        for uris in [&["test://ordinary"][..], &["test://own", "test://own"]] {
            let built = built(uris.iter().fold(none(), |operators, uri| resource(operators, uri)));
            assert!(
                matches!(built, Err(BuildServerError::Register(RegisterError::Duplicate { .. }))),
                "{built:?}"
            );
        }
        let wrong = built(resource(none(), "no uri"));
        assert!(matches!(wrong, Err(BuildServerError::Register(RegisterError::InvalidUri(_)))), "{wrong:?}");
    }
}
