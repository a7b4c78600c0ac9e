// Opens the rooms of the BFA-SNN, each when it is visited first.
"use strict";
{
  const {
    bfa_snn_weights: shipped,
    digits,
    unpackWeights,
    unpackDigits,
    testKey,
    BFASNN,
    bfaHash,
    tabs,
    element,
    selfCheck,
    percent,
    DrawRoom,
    LearnRoom,
    LesionRoom,
  } = globalThis.Museum;

  const model = {
    shipped,
    weights: unpackWeights(shipped),
    key: testKey(shipped.seed),
    samples: unpackDigits(digits.samples),
    lessons: unpackDigits(digits.lessons),
    heldOut: unpackDigits(digits.heldOut),
  };
  const kinds = { draw: DrawRoom, learn: LearnRoom, lesion: LesionRoom };
  const rooms = {};
  tabs(element("rooms"), (name) => {
    rooms[name] ??= new kinds[name](element(name), model);
  });
  element("accuracy").textContent = percent(shipped.accuracy, 2);
  const net = new BFASNN(shipped.config, shipped.sizes, model.weights);
  selfCheck(element("check"), model.samples, shipped.check, (pixels) => bfaHash(net, pixels, model.key));
}
