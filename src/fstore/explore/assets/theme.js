/* Before anything is drawn: the theme that was chosen last. */
try {
  const theme = localStorage.getItem("fstore-theme");
  if (theme) document.documentElement.dataset.theme = theme;
} catch { /* no storage: the system's theme */ }
