// --- who this is

async function start() {
  let info;
  try {
    info = await call("api/model/info");
  } catch (error) {
    if (error.status === 401 && !state.token) askForToken(error.status);  // not an error yet
    else fail(error, start);
    return;
  }
  $("alert").replaceChildren();
  $("access").hidden = true;
  introduce(info);
  await TASKS[info.task]?.open?.();
  if (!$("zones").children.length) build();
  if (state.files.filter(Boolean).length) run();
}

function introduce(info) {
  state.info = info;
  state.since = performance.now();
  document.title = `${info.name} ${info.version}`;
  $("name").textContent = info.name;
  $("version").textContent = info.version;
  $("task").textContent = info.task;
  $("status").textContent = info.status ?? "not registered";
  $("status").dataset.status = info.status ?? "";
  const [kind, hex] = info.package_digest.split(":");
  $("digest").textContent = `${kind}:${hex.slice(0, 12)}…`;
  $("digest").title = info.package_digest;
  $("facts").hidden = false;
  $("issues-text").textContent = info.known_issues;
  $("issues").hidden = !info.known_issues;
  tick();
}

function tick() {
  if (!state.info) return;
  const seconds = state.info.uptime_seconds + (performance.now() - state.since) / 1000;
  $("uptime").textContent = duration(seconds);
}

function build() {
  const task = TASKS[state.info.task];
  if (!task) {
    fail(new Failure(`This page cannot show a model of ${state.info.task}.`, 400, null));
    return;
  }
  $("intro").textContent = task.intro;
  $("zones").replaceChildren(...task.zones.map(zone));
  $("zones").classList.toggle("zones", task.zones.length > 1);
  $("camera").hidden = task.zones.length > 1;
  state.threshold = state.info.threshold ?? OWN_THRESHOLD;
  $("slider").value = state.threshold;
  $("slider-value").textContent = state.threshold.toFixed(2);
  $("work").hidden = false;
}

// --- the token

function askForToken(status) {
  $("access").hidden = false;
  $("access-text").textContent = status === 403
    ? "Another token may do this."
    : state.token ? "The server does not know this token."
      : "This server answers holders of a token.";
  if (status === 401) remember(null);
  $("token").focus();
}

$("access").addEventListener("submit", (event) => {
  event.preventDefault();
  const field = $("token");
  const token = field.value.trim();
  field.value = "";
  if (!/^[!-~]+$/.test(token)) {
    fail(new Failure("A token is made of letters, digits and signs, without a space.", 400, null));
    field.focus();
    return;
  }
  remember(token);
  start();
});

$("thumb-up").addEventListener("click", () => judge(true));
$("thumb-down").addEventListener("click", () => judge(false));

$("forget").addEventListener("click", () => {
  remember(null);
  $("token").value = "";
  start();
});

new ResizeObserver(() => { if (state.answer && state.size) draw(); }).observe($("stage"));
setInterval(tick, 1000);
remember(state.token);
start();
