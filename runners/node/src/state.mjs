export class StateKeeper {
  #context;
  constructor(context) {
    this.#context = context;
  }
  async restore(state) {
    if (state?.cookies?.length) await this.#context.addCookies(state.cookies);
  }
  async capture() {
    return { version: 1, cookies: await this.#context.cookies(), origins: [] };
  }
}
