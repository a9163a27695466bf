const failed = document.getElementById("failed");
if (failed && new URLSearchParams(location.search).get("failed")) failed.hidden = false;
