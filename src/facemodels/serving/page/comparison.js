TASKS.recognition = {
  intro: "Says whether two pictures show one person. Each is compared as a whole: "
    + "crop it to the face first.",
  zones: ["First picture", "Second picture"], run: verify, draw() {}, tell: tellMatch,
};

async function verify(signal) {
  const [one, other] = state.files;
  if (!one || !other) {
    $("said").textContent = `Now the ${one ? "second" : "first"} picture.`;
    return null;
  }
  const body = new FormData();
  // The pictures' own names are nobody's business, and these make the better sentence.
  body.append("image", one, "The first picture");
  body.append("image", other, "The second picture");
  return call("api/verify", { method: "POST", body, signal });
}

/** Show a score, the threshold and the verdict; and the rate of false matches, if it is known. */
function tellMatch({ similarity, threshold, fmr, reliability, same_person: same }) {
  // As many digits as it takes to tell the two apart.
  let digits = 3;
  while (digits < 7 && similarity.toFixed(digits) === threshold.toFixed(digits)) digits += 1;
  const [score, cut] = [similarity.toFixed(digits), threshold.toFixed(digits)];
  const lowest = Math.min(similarity, threshold) < 0 ? -1 : 0;
  const place = (value) =>
    `${100 * Math.min(Math.max((value - lowest) / (1 - lowest), 0), 1)}%`;
  $("verdict").classList.toggle("same", same);
  $("verdict-text").textContent = same ? "Same person" : "Different people";
  $("score").textContent = score;
  $("match").style.setProperty("--score", place(similarity));
  $("match").style.setProperty("--threshold", place(threshold));
  $("cut").textContent = `same from ${cut}`;
  $("lowest").textContent = String(lowest);
  const mark = $("mark");
  mark.setAttribute("aria-valuemin", lowest);
  mark.setAttribute("aria-valuemax", 1);
  mark.setAttribute("aria-valuenow", similarity);
  mark.setAttribute("aria-valuetext", `${score}; the same person from ${cut}`);
  $("match").hidden = false;
  $("said").textContent = `The score ${score} is ${same ? "not below" : "below"} the threshold `
    + `${cut}: ${same ? "the same person" : "different people"}, says the model.`
    + falseMatches(fmr ?? reliability?.error_rates.fmr);
}

function falseMatches(fmr) {
  if (fmr === undefined) return " How often it errs was not measured.";
  if (fmr >= 1) return " How often different people score so much was not measured.";
  const pairs = Math.round(1 / fmr);
  return ` At most 1 in ${pairs} pairs of different people scores so much (FMR ${fmr}).`;
}
