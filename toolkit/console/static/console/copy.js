// Buttons that copy what stands elsewhere on the page: <button data-copy="id of the element">.
// Without permission for the clipboard (plain HTTP) the text is selected, to be copied by hand.

function select(element) {
  const range = document.createRange();
  range.selectNodeContents(element);
  const selection = window.getSelection();
  selection.removeAllRanges();
  selection.addRange(range);
}

async function copy(button) {
  const source = document.getElementById(button.dataset.copy);
  const status = document.getElementById(`${button.dataset.copy}-status`);
  try {
    await navigator.clipboard.writeText(source.textContent.trim());
    status.textContent = button.dataset.done;
  } catch {
    select(source);
    status.textContent = button.dataset.failed;
  }
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-copy]");
  if (button) copy(button);
});
