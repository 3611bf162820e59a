import assert from "node:assert/strict";
import { it } from "node:test";
import fc from "fast-check";
import { Queue, type QueuePlace } from "../../scheduler/queue.ts";

it("behaves like an array under any sequence of pushes, shifts and removals", () => {
  const steps = fc.array(fc.oneof(fc.constant("push"), fc.constant("shift"), fc.nat(20)));
  fc.assert(
    fc.property(steps, (sequence) => {
      const queue = new Queue<number>();
      const places = new Map<number, QueuePlace<number>>();
      let model: number[] = [];
      let next = 0;
      for (const step of sequence) {
        if (step === "push") {
          places.set(next, queue.push(next));
          model.push(next++);
        } else if (step === "shift") {
          assert.equal(queue.shift(), model.shift());
        } else {
          const value = model[Number(step)];
          const place = value === undefined ? undefined : places.get(value);
          if (place === undefined) continue;
          queue.remove(place);
          model = model.filter((each) => each !== value);
        }
        assert.deepEqual([...queue], model);
        assert.equal(queue.size, model.length);
      }
    }),
  );
});
