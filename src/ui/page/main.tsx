// The page of `fathom ui`.

import "./style.css";
import { render } from "preact";
import { App } from "./app.tsx";
import { listen } from "./live.ts";
import { followAddress } from "./route.ts";
import { followTheme } from "./theme.ts";

followTheme();
followAddress();
listen();
render(<App />, document.getElementById("page")!);
