// Before the first paint, so that a chosen theme never flashes.
(function () {
  try {
    const theme = localStorage.getItem("barograph-theme");
    if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  } catch (error) {
    // Storage is switched off in this browser: the system's theme stays.
    console.info("no stored theme:", String(error));
  }
})();
