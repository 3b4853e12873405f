// Starts GraphiQL with the API key of this tab, and says so in words where it cannot. Loaded first, so that it sees what fails after it.
"use strict";
(() => {
  const STORED_KEY = "consentry.key";
  const root = document.getElementById("graphiql");
  const failure = document.getElementById("failure");
  const input = document.getElementById("key");
  const state = document.getElementById("key-state");
  const fallback = root.firstElementChild;

  const fail = (what) => {
    // The first failure is the cause; what follows comes of it.
    if (failure.hidden) failure.textContent = `The editor does not work here: ${what}. Reloading may help; the API at POST /graphql works without it.`;
    failure.hidden = false;
    if (!root.hasChildNodes()) root.append(fallback);
  };

  // Capturing, since a script that does not load tells only itself.
  window.addEventListener("error", (event) => {
    const source = event.target && (event.target.src || event.target.href);
    if (source) fail(`${new URL(source).pathname} did not load`);
    else if (!root.hasChildNodes() || root.contains(fallback)) fail("a script of it stopped with an error");
  }, true);

  // What is typed here may be a key, or an address in a query: it is kept by this tab alone. Where a browser keeps nothing, by the page.
  const inMemory = () => {
    const kept = new Map();
    return {
      get length() { return kept.size; },
      getItem: (name) => kept.get(name) ?? null,
      setItem: (name, value) => { kept.set(name, value); },
      removeItem: (name) => { kept.delete(name); },
      clear: () => { kept.clear(); },
    };
  };
  const storage = (() => { try { return window.sessionStorage; } catch { return inMemory(); } })();
  let key = storage.getItem(STORED_KEY) || "";

  const render = (reactRoot) => {
    const current = key;
    const fetcher = GraphiQL.createFetcher({
      url: new URL("/graphql", location.href).href,
      enableIncrementalDelivery: false,
      fetch: (url, options) => fetch(url, {
        ...options,
        headers: { ...(current ? { authorization: `Bearer ${current}` } : {}), ...options.headers },
      }),
    });
    reactRoot.render(React.createElement(GraphiQL, {
      key: current ? "with-key" : "without-key",
      fetcher,
      // Without a key the schema cannot be asked for; null says not to try.
      schema: current ? undefined : null,
      storage,
      shouldPersistHeaders: false,
      defaultEditorToolsVisibility: "variables",
      defaultQuery: "# Give an API key above, then try this.\n{\n  viewer {\n    tenant { key name }\n    scopes\n  }\n}\n",
    }));
    state.textContent = current ? "A key is in use, in this tab only." : "No key yet: consentry keys create makes one. It is kept in this tab only.";
  };

  window.addEventListener("load", () => {
    if (!(window.React && window.ReactDOM && window.GraphiQL)) {
      if (failure.hidden) fail("one of its scripts is missing");
      return;
    }
    const reactRoot = ReactDOM.createRoot(root);
    input.value = key;
    document.getElementById("key-form").addEventListener("submit", (event) => {
      event.preventDefault();
      key = input.value.trim();
      storage.setItem(STORED_KEY, key);
      render(reactRoot);
    });
    render(reactRoot);
  });
})();
