const bytes = async (id) => {
  const packed = Uint8Array.from(atob(document.getElementById(id).textContent), (sign) => sign.charCodeAt(0));
  return new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"))).blob();
};
const source = new Blob([await bytes("niivue")], { type: "text/javascript" });
const { Niivue, NVImage, SHOW_RENDER, SLICE_TYPE } = await import(URL.createObjectURL(source));
const canvas = document.getElementById("view");
const view = new Niivue({
  backColor: [0, 0, 0, 1],
  crosshairColor: [0.3, 0.6, 1, 0.6],
  isRadiologicalConvention: true,
  multiplanarShowRender: SHOW_RENDER.NEVER,
  sliceType: SLICE_TYPE.MULTIPLANAR,
});
await view.attachToCanvas(canvas);
for (const [id, look] of Object.entries({ scan: { colormap: "gray" }, lesions: { colormap: "red", opacity: 0.5, cal_min: 0, cal_max: 1 } })) {
  const buffer = await (await bytes(id)).arrayBuffer();
  view.addVolume(await NVImage.loadFromFile({ file: new File([buffer], `${id}.nii`), name: `${id}.nii`, ...look }));
}
const show = (button) => {
  view.scene.crosshairPos = view.mm2frac(button.dataset.mm.split(" ").map(Number));
  view.drawScene();
};
const buttons = document.querySelectorAll("button[data-mm]");
for (const button of buttons) button.addEventListener("click", () => show(button));
if (buttons.length) show(buttons[0]);
document.getElementById("waiting").hidden = true;
