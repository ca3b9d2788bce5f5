/* login.ts - who are you?  By name and password, or by an API key that stays in this tab. */
import { api, ApiError, setKey } from "../api";
import { fill, h, icon } from "../dom";

function words(error: unknown, byKey: boolean): string {
  const status = error instanceof ApiError ? error.status : -1;
  if (status === 401 && byKey)
    return "This key is not known here. Keys begin to work when they are made on the API keys "
      + "page, or with API_KEY in the environment of ringfence-dashboard.";
  if (status === 401)
    return "Wrong name or password. The first password was printed once, at the first start of "
      + "ringfence-dashboard: look for “password” in its log, or set ADMIN_PASSWORD_HASH.";
  if (status === 403 && byKey)
    return "This key may only send events. To look, one made for reading or for everything is "
      + "needed.";
  if (status === 429)
    return "Too many attempts. Wait a minute, then try again.";
  if (status === 0)
    return "The dashboard does not answer. Is ringfence-dashboard running?";
  return error instanceof Error ? error.message : String(error);
}

export function loginPage(why: "first" | "over", done: () => void): HTMLElement {
  let byKey = false;
  const name = h("input", { id: "login-name", name: "username", autocomplete: "username",
    required: true, spellcheck: "false", autocapitalize: "none" });
  const password = h("input", { id: "login-password", name: "password", type: "password",
    autocomplete: "current-password", required: true });
  const key = h("input", { id: "login-key", name: "key", type: "password", autocomplete: "off",
    required: true, spellcheck: "false" });
  const fields = h("div", { class: "login-fields" });
  const problem = h("div", { class: "login-problem", role: "alert" });
  const submit = h("button", { type: "submit", class: "btn btn-primary" }, "Sign in");
  const other = h("button", { type: "button", class: "link-btn", onclick: () => {
    byKey = !byKey;
    draw();
    (byKey ? key : name).focus();
  } });
  const field = (label: string, input: HTMLInputElement) => h("div", { class: "login-field" },
    h("label", { for: input.id }, label), input);
  const draw = () => {
    fill(fields, byKey ? field("API key", key)
      : [field("Name", name), field("Password", password)]);
    other.textContent = byKey ? "Use name and password" : "Use an API key instead";
    fill(problem);
  };
  draw();
  const attempt = async () => {
    submit.disabled = true;
    fill(problem);
    try {
      if (byKey) {
        setKey(key.value.trim());
        await api.config();
      } else {
        setKey("");
        await api.login(name.value.trim(), password.value);
      }
      done();
    } catch (error) {
      if (byKey)
        setKey("");
      fill(problem, icon("warn"), h("span", null, words(error, byKey)));
      (byKey ? key : password).select();
    }
    submit.disabled = false;
  };
  return h("div", { class: "login" },
    h("form", { class: "login-card", onsubmit: (event: Event) => {
      event.preventDefault();
      void attempt();
    } },
    h("div", { class: "login-brand" },
      h("img", { src: "/logo.svg", alt: "", width: "44", height: "44" }),
      h("h1", null, "ringfence")),
    h("p", { class: "muted" }, why === "over"
      ? "Your session is over. Sign in, and you are back where you were."
      : "What may leave, and what tried to."),
    fields, problem, submit, other));
}
