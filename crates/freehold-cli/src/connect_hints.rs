//! How the common clients connect, for people to copy.

use std::fmt::{self, Write};

/// The lines to print at the start of an HTTP server.
pub(crate) fn connect_hints(url: &str, token: bool, page: Option<&str>) -> String {
    let mut text = String::new();
    // Writing to a String does not fail.
    let _ = write(&mut text, url, token, page);
    text
}

fn write(text: &mut String, url: &str, token: bool, page: Option<&str>) -> fmt::Result {
    let header = if token { " --header \"Authorization: Bearer $FREEHOLD_TOKEN\"" } else { "" };
    let headers = if token { r#", "headers": { "Authorization": "Bearer ${FREEHOLD_TOKEN}" }"# } else { "" };
    writeln!(text, "Freehold serves MCP at {url}")?;
    if let Some(page) = page {
        writeln!(text, "What it does is shown at {page} (and by `freehold inspect`)")?;
    }
    writeln!(text)?;
    writeln!(
        text,
        "Inspector   npx @modelcontextprotocol/inspector --cli --transport http --server-url {url}{header} --method tools/list"
    )?;
    writeln!(
        text,
        "mcpServers  {{ \"mcpServers\": {{ \"freehold\": {{ \"type\": \"http\", \"url\": \"{url}\"{headers} }} }} }}"
    )?;
    writeln!(
        text,
        "            {{ \"mcpServers\": {{ \"freehold\": {{ \"command\": \"freehold\", \"args\": [\"serve\", \"--stdio\"] }} }} }}"
    )?;
    writeln!(
        text,
        "TypeScript  await client.connect(new StreamableHTTPClientTransport(new URL(\"{url}\")))"
    )?;
    writeln!(text, "Python      async with Client(\"{url}\") as client: print(await client.list_tools())")?;
    if token {
        writeln!(text, "\nEvery request needs the header `Authorization: Bearer TOKEN`.")?;
    }
    writeln!(text, "\nCtrl-C drains and ends it.")
}

#[cfg(test)]
mod tests {
    use super::connect_hints;

    #[test]
    fn the_json_in_the_hints_is_json() {
        for token in [false, true] {
            let hints = connect_hints("http://127.0.0.1:8808/mcp", token, Some("http://127.0.0.1:8809/"));
            assert!(hints.contains("http://127.0.0.1:8809/"), "{hints}");
            let mut found = 0;
            for json in hints.lines().filter_map(|line| line.find('{').map(|at| &line[at..])) {
                let value: serde_json::Value = serde_json::from_str(json).unwrap();
                assert!(value["mcpServers"]["freehold"].is_object(), "{json}");
                found += 1;
            }
            assert_eq!(found, 2);
            assert_eq!(hints.contains("Bearer"), token);
        }
    }
}
