// A button in the article's header that opens or closes every hidden code cell of the page.
document.addEventListener("DOMContentLoaded", () => {
  const cells = [...document.querySelectorAll("div.cell details.hide")];
  const header = document.querySelector(".article-header-buttons");
  if (!cells.length || !header) return;

  const button = document.createElement("button");
  button.type = "button";
  button.className = "btn btn-sm show-all-code";
  const allOpen = () => cells.every((cell) => cell.open);
  const label = () => { button.textContent = allOpen() ? "Hide all code" : "Show all code"; };
  button.addEventListener("click", () => {
    const open = !allOpen();
    cells.forEach((cell) => { cell.open = open; });
    label();
  });
  // A reader may also open the last closed cell by hand.
  cells.forEach((cell) => cell.addEventListener("toggle", label));
  label();
  header.prepend(button);
});
