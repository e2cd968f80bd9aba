let stream = null;

$("camera-open").addEventListener("click", async () => {
  $("alert").replaceChildren();
  if (!navigator.mediaDevices) {
    refuseCamera("The browser gives a camera only to pages over HTTPS or of this machine.");
    return;
  }
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "user" } });
  } catch (error) {
    refuseCamera(error.name === "NotAllowedError"
      ? "The camera was not allowed. Allow it in the browser's settings of this page, or choose "
        + "a file."
      : error.name === "NotFoundError" ? "There is no camera here. Choose a file."
        : "The camera does not start. Another program may use it.");
    return;
  }
  $("camera-take").disabled = true;  // until there is a picture to take
  $("video").srcObject = stream;
  seeing(true);
});

$("video").addEventListener("loadeddata", () => {
  $("camera-take").disabled = false;
  $("camera-take").focus();
});

$("camera-take").addEventListener("click", () => {
  const video = $("video");
  const canvas = element("canvas", "", { width: video.videoWidth, height: video.videoHeight });
  canvas.getContext("2d").drawImage(video, 0, 0);
  closeCamera();
  canvas.toBlob((blob) => {
    take([new File([blob], "camera.jpg", { type: "image/jpeg" })], 0);
  }, "image/jpeg", 0.95);
});

$("camera-close").addEventListener("click", closeCamera);

function closeCamera() {
  for (const track of stream?.getTracks() ?? []) track.stop();
  stream = null;
  $("video").srcObject = null;
  seeing(false);
}

function seeing(open) {
  for (const id of ["video", "camera-take", "camera-close"]) $(id).hidden = !open;
  $("camera-open").hidden = open;
}

function refuseCamera(text) {
  fail(new Failure(text, 400, null));
}
