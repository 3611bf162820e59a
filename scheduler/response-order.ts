/** Lets responses out in the order in which their requests came in (`preserve_ordering`). */

interface Ticket {
  deliver: (() => void) | undefined;
}

export class ResponseOrder {
  readonly #tickets: Ticket[] = [];

  /** Takes the next place; the returned function delivers in turn, once. */
  enter(): (deliver: () => void) => void {
    const ticket: Ticket = { deliver: undefined };
    this.#tickets.push(ticket);
    return (deliver) => {
      ticket.deliver = deliver;
      let ready = 0;
      for (const { deliver: next } of this.#tickets) {
        if (next === undefined) break;
        next();
        ready++;
      }
      this.#tickets.splice(0, ready);
    };
  }
}
